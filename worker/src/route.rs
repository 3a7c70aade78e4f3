//! Which operation a method and path name.

use estafette_protocol::{DeviceId, MediaId, PhoneNumber};

/// One operation of the HTTP interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Route<'a> {
    Health,
    OpenApi,
    AsyncApi,
    Code,
    Register,
    Renew,
    Devices,
    LinkDevice,
    RenameDevice(DeviceId),
    RemoveDevice(DeviceId),
    OfferLink,
    CollectLink(&'a str),
    Export,
    DeleteAccount,
    MoveAccount,
    Privacy,
    SetPrivacy,
    People,
    SetPerson(PhoneNumber),
    Profile,
    SetProfile,
    PutPicture,
    DropPicture,
    ShownProfile(PhoneNumber),
    Picture(PhoneNumber),
    Pin,
    SetPin,
    RemovePin,
    Lookup,
    Usage,
    Media(MediaId),
    Subscription,
    Subscribe,
    Unsubscribe,
    Socket,
    Report,
    Motd,
    Inspect(PhoneNumber),
    Suspend(PhoneNumber),
    Restore(PhoneNumber),
    SetMotd,
    DeleteMotd,
    Audit,
}

/// No operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unrouted {
    /// No such path.
    NotFound,
    /// The path has other methods: what `Allow` says.
    MethodNotAllowed(&'static str),
}

/// Finds the operation, of those that are not tus (`media::target`). `url` is absolute and normal, as the
/// platform gives it.
pub(crate) fn route<'a>(method: &str, url: &'a str) -> Result<Route<'a>, Unrouted> {
    const READ: &str = "GET, HEAD";
    let (route, allow) = match path(url) {
        "/v1/health" => (Route::Health, READ),
        "/v1/openapi.json" => (Route::OpenApi, READ),
        "/v1/asyncapi.json" => (Route::AsyncApi, READ),
        "/v1/registration/code" => (Route::Code, "POST"),
        "/v1/registration" => (Route::Register, "POST"),
        "/v1/token" => (Route::Renew, "POST"),
        "/v1/devices" if method == "POST" => (Route::LinkDevice, "POST"),
        "/v1/devices" => (Route::Devices, "GET, HEAD, POST"),
        "/v1/links" => (Route::OfferLink, "POST"),
        "/v1/privacy" if method == "PUT" => (Route::SetPrivacy, "PUT"),
        "/v1/privacy" => (Route::Privacy, "GET, HEAD, PUT"),
        "/v1/people" => (Route::People, READ),
        "/v1/profile" if method == "PUT" => (Route::SetProfile, "PUT"),
        "/v1/profile" => (Route::Profile, "GET, HEAD, PUT"),
        "/v1/profile/picture" if method == "DELETE" => (Route::DropPicture, "DELETE"),
        "/v1/profile/picture" => (Route::PutPicture, "DELETE, PUT"),
        "/v1/account/move" => (Route::MoveAccount, "POST"),
        "/v1/lookup" => (Route::Lookup, "POST"),
        "/v1/account" if method == "DELETE" => (Route::DeleteAccount, "DELETE"),
        "/v1/account" => (Route::Export, "GET, HEAD, DELETE"),
        "/v1/pin" => (pin(method), "GET, HEAD, PUT, DELETE"),
        "/v1/usage" => (Route::Usage, READ),
        "/v1/push" => (push(method), "GET, HEAD, PUT, DELETE"),
        "/v1/socket" => (Route::Socket, "GET"),
        "/v1/reports" => (Route::Report, "POST"),
        "/v1/motd" => (Route::Motd, READ),
        "/v1/admin/motd" if method == "DELETE" => (Route::DeleteMotd, "DELETE"),
        "/v1/admin/motd" => (Route::SetMotd, "PUT, DELETE"),
        "/v1/admin/audit" => (Route::Audit, READ),
        path if path.starts_with("/v1/admin/accounts/") => {
            let rest = path.strip_prefix("/v1/admin/accounts/").unwrap_or_default();
            account(method, rest).ok_or(Unrouted::NotFound)?
        }
        path if path.starts_with("/v1/media/") => {
            let id = path.strip_prefix("/v1/media/").and_then(|id| id.parse().ok());
            (Route::Media(id.ok_or(Unrouted::NotFound)?), READ)
        }
        path if path.starts_with("/v1/people/") => {
            let number = path.strip_prefix("/v1/people/").and_then(number);
            (Route::SetPerson(number.ok_or(Unrouted::NotFound)?), "PUT")
        }
        path if path.starts_with("/v1/profiles/") => (shown(path).ok_or(Unrouted::NotFound)?, READ),
        path if path.starts_with("/v1/links/") => {
            let code = path.strip_prefix("/v1/links/").filter(|code| is_link(code));
            (Route::CollectLink(code.ok_or(Unrouted::NotFound)?), READ)
        }
        path => {
            let id = path.strip_prefix("/v1/devices/").ok_or(Unrouted::NotFound)?;
            let id = id.parse().or(Err(Unrouted::NotFound))?;
            let route =
                if method == "PATCH" { Route::RenameDevice(id) } else { Route::RemoveDevice(id) };
            (route, "DELETE, PATCH")
        }
    };
    if allow.split(", ").any(|allowed| allowed == method) {
        Ok(route)
    } else {
        Err(Unrouted::MethodNotAllowed(allow))
    }
}

/// Somebody's profile, or its picture.
fn shown(path: &str) -> Option<Route<'static>> {
    let path = path.strip_prefix("/v1/profiles/")?;
    match path.strip_suffix("/picture") {
        Some(path) => number(path).map(Route::Picture),
        None => number(path).map(Route::ShownProfile),
    }
}

/// What an admin does with an account: what follows on `/v1/admin/accounts/`.
fn account(method: &str, rest: &str) -> Option<(Route<'static>, &'static str)> {
    Some(match rest.strip_suffix("/suspension") {
        None => (Route::Inspect(number(rest)?), "GET, HEAD"),
        Some(rest) if method == "DELETE" => (Route::Restore(number(rest)?), "DELETE"),
        Some(rest) => (Route::Suspend(number(rest)?), "PUT, DELETE"),
    })
}

/// Whether a URL leads to the admin's part.
pub(crate) fn is_admin(url: &str) -> bool {
    path(url).starts_with("/v1/admin/")
}

/// A parameter of a URL's query, as it is written.
pub(crate) fn parameter<'a>(url: &'a str, name: &str) -> Option<&'a str> {
    let (_, query) = url.split_once('?')?;
    let mut pairs = query.split('#').next()?.split('&');
    pairs.find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
}

/// A number in a path, whose plus sign may be written as it is or as `%2B`.
fn number(path: &str) -> Option<PhoneNumber> {
    let mut signs = ["+", "%2B", "%2b"].into_iter();
    let digits = signs.find_map(|sign| path.strip_prefix(sign))?;
    format!("+{digits}").parse().ok()
}

/// Whether this has the form of a code that links a device.
fn is_link(code: &str) -> bool {
    code.len() == 40 && code.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

fn pin(method: &str) -> Route<'static> {
    match method {
        "PUT" => Route::SetPin,
        "DELETE" => Route::RemovePin,
        _ => Route::Pin,
    }
}

fn push(method: &str) -> Route<'static> {
    match method {
        "PUT" => Route::Subscribe,
        "DELETE" => Route::Unsubscribe,
        _ => Route::Subscription,
    }
}

/// The path of an absolute URL, by hand: a URL parser costs 60 KB of tables.
pub(crate) fn path(url: &str) -> &str {
    let after_scheme = url.split_once("://").map_or(url, |(_, rest)| rest);
    let from_path = after_scheme.find('/').and_then(|at| after_scheme.get(at..));
    from_path.unwrap_or("/").split(['?', '#']).next().unwrap_or("/")
}

#[cfg(test)]
mod tests {
    use super::{Route, Unrouted, is_admin, parameter, path, route};
    use estafette_protocol::{DeviceId, MediaId};

    const LINK: &str = "/v1/links/00000000000000000000000000000000000000ff";

    fn at(method: &str, path: &str) -> Result<Route<'static>, Unrouted> {
        route(method, format!("https://example.com{path}").leak())
    }

    #[test]
    fn a_path_is_what_lies_between_host_and_query() {
        for (url, expected) in [
            ("http://127.0.0.1:8787/v1/health", "/v1/health"),
            ("https://host/v1/socket?x=/y#z", "/v1/socket"),
            ("https://host/?", "/"),
            ("https://host", "/"),
            ("", "/"),
        ] {
            assert_eq!(path(url), expected, "{url}");
        }
    }

    #[test]
    fn every_operation_is_found_under_its_own_method_only() {
        let alice = "+33612345678".parse().unwrap();
        let all = [
            ("GET", "/v1/health", Route::Health),
            ("GET", "/v1/openapi.json", Route::OpenApi),
            ("GET", "/v1/asyncapi.json", Route::AsyncApi),
            ("POST", "/v1/registration/code", Route::Code),
            ("POST", "/v1/registration", Route::Register),
            ("POST", "/v1/token", Route::Renew),
            ("POST", "/v1/links", Route::OfferLink),
            ("POST", "/v1/account/move", Route::MoveAccount),
            ("GET", LINK, Route::CollectLink(&LINK[10..])),
            ("POST", "/v1/lookup", Route::Lookup),
            ("GET", "/v1/usage", Route::Usage),
            ("GET", "/v1/people", Route::People),
            ("PUT", "/v1/people/+33612345678", Route::SetPerson(alice)),
            ("PUT", "/v1/people/%2B33612345678", Route::SetPerson(alice)),
            ("PUT", "/v1/people/%2b33612345678", Route::SetPerson(alice)),
            ("GET", "/v1/profiles/+33612345678", Route::ShownProfile(alice)),
            ("GET", "/v1/profiles/%2B33612345678/picture", Route::Picture(alice)),
            ("GET", "/v1/media/000000000000000000000000000000ff", Route::Media(MediaId(255))),
            ("GET", "/v1/socket", Route::Socket),
            ("POST", "/v1/reports", Route::Report),
            ("GET", "/v1/motd", Route::Motd),
            ("GET", "/v1/admin/accounts/+33612345678", Route::Inspect(alice)),
            ("GET", "/v1/admin/accounts/%2B33612345678", Route::Inspect(alice)),
            ("GET", "/v1/admin/audit", Route::Audit),
        ];
        for (method, path, expected) in all {
            assert_eq!(at(method, path), Ok(expected));
            for other in ["GET", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "get"] {
                if other != method {
                    assert!(matches!(at(other, path), Err(Unrouted::MethodNotAllowed(_))));
                }
            }
        }
        for (method, expected) in [
            ("GET", Ok(Route::Subscription)),
            ("HEAD", Ok(Route::Subscription)),
            ("PUT", Ok(Route::Subscribe)),
            ("DELETE", Ok(Route::Unsubscribe)),
            ("POST", Err(Unrouted::MethodNotAllowed("GET, HEAD, PUT, DELETE"))),
        ] {
            assert_eq!(at(method, "/v1/push"), expected);
        }
        for (method, expected) in [
            ("GET", Ok(Route::Pin)),
            ("HEAD", Ok(Route::Pin)),
            ("PUT", Ok(Route::SetPin)),
            ("DELETE", Ok(Route::RemovePin)),
            ("POST", Err(Unrouted::MethodNotAllowed("GET, HEAD, PUT, DELETE"))),
        ] {
            assert_eq!(at(method, "/v1/pin"), expected);
        }
        let suspension = "/v1/admin/accounts/+33612345678/suspension";
        for (method, path, expected) in [
            ("PUT", suspension, Ok(Route::Suspend(alice))),
            ("DELETE", suspension, Ok(Route::Restore(alice))),
            ("GET", suspension, Err(Unrouted::MethodNotAllowed("PUT, DELETE"))),
            ("PUT", "/v1/admin/motd", Ok(Route::SetMotd)),
            ("DELETE", "/v1/admin/motd", Ok(Route::DeleteMotd)),
            ("GET", "/v1/admin/motd", Err(Unrouted::MethodNotAllowed("PUT, DELETE"))),
        ] {
            assert_eq!(at(method, path), expected, "{method} {path}");
        }
        let device = "/v1/devices/00000000000000ff";
        for (method, path, expected) in [
            ("GET", "/v1/devices", Ok(Route::Devices)),
            ("POST", "/v1/devices", Ok(Route::LinkDevice)),
            ("PUT", "/v1/devices", Err(Unrouted::MethodNotAllowed("GET, HEAD, POST"))),
            ("PATCH", device, Ok(Route::RenameDevice(DeviceId(255)))),
            ("DELETE", device, Ok(Route::RemoveDevice(DeviceId(255)))),
            ("GET", "/v1/account", Ok(Route::Export)),
            ("DELETE", "/v1/account", Ok(Route::DeleteAccount)),
            ("POST", "/v1/account", Err(Unrouted::MethodNotAllowed("GET, HEAD, DELETE"))),
            ("GET", "/v1/privacy", Ok(Route::Privacy)),
            ("PUT", "/v1/privacy", Ok(Route::SetPrivacy)),
            ("POST", "/v1/privacy", Err(Unrouted::MethodNotAllowed("GET, HEAD, PUT"))),
            ("GET", "/v1/profile", Ok(Route::Profile)),
            ("PUT", "/v1/profile", Ok(Route::SetProfile)),
            ("POST", "/v1/profile", Err(Unrouted::MethodNotAllowed("GET, HEAD, PUT"))),
            ("PUT", "/v1/profile/picture", Ok(Route::PutPicture)),
            ("DELETE", "/v1/profile/picture", Ok(Route::DropPicture)),
            ("GET", "/v1/profile/picture", Err(Unrouted::MethodNotAllowed("DELETE, PUT"))),
            ("GET", device, Err(Unrouted::MethodNotAllowed("DELETE, PATCH"))),
        ] {
            assert_eq!(at(method, path), expected, "{method} {path}");
        }
        assert_eq!(at("HEAD", "/v1/devices"), Ok(Route::Devices));
        assert_eq!(at("HEAD", "/v1/socket"), Err(Unrouted::MethodNotAllowed("GET")));
    }

    #[test]
    fn a_parameter_is_what_stands_behind_its_name() {
        for (query, expected) in [
            ("?after=x", Some("x")),
            ("?b=1&after=x-y#z", Some("x-y")),
            ("?after=", Some("")),
            ("?afters=x", None),
            ("?after", None),
            ("", None),
        ] {
            let url = format!("https://host/v1/admin/audit{query}");
            assert_eq!(parameter(&url, "after"), expected, "{query}");
            assert!(is_admin(&url));
        }
        assert!(!is_admin("https://host/v1/administer?/v1/admin/"));
    }

    #[test]
    fn other_paths_are_not_found() {
        for path in [
            "",
            "/",
            "/v1",
            "/v2/health",
            "/v1/health/",
            "/v1/devices/",
            "/v1/devices/FF",
            "/v1/devices/00000000000000FF",
            "/v1/devices/00000000000000ff/x",
            "/v1/people/",
            "/v1/people/33612345678",
            "/v1/people/+33612345678/x",
            "/v1/profiles/",
            "/v1/profiles/33612345678",
            "/v1/profiles/picture",
            "/v1/profiles//picture",
            "/v1/profiles/+33612345678/",
            "/v1/profiles/+33612345678/picture/picture",
            "/v1/admin",
            "/v1/admin/",
            "/v1/admin/accounts",
            "/v1/admin/accounts/",
            "/v1/admin/accounts/33612345678",
            "/v1/admin/accounts//suspension",
            "/v1/admin/accounts/+33612345678/",
            "/v1/admin/accounts/+33612345678/suspension/",
            "/v1/links/",
            "/v1/links/00000000000000ff",
            "/v1/links/00000000000000000000000000000000000000FF",
            "/v1/media",
            "/v1/media/00000000000000ff",
            "/v1/media/000000000000000000000000000000FF",
            "/v1/media/000000000000000000000000000000ff/x",
        ] {
            assert_eq!(at("GET", path), Err(Unrouted::NotFound), "{path}");
        }
    }
}
