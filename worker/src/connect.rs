//! The one header with which the front Worker tells an object who asks for a socket. It is made from
//! a verified token; what a client sends under this name goes nowhere.
//!
//! Two versions of the Worker can be at either end of it during a deploy: its form is pinned.

use estafette_protocol::Encoding;
use estafette_relay::Connect;

/// The header's name.
pub(crate) const HEADER: &str = "estafette-connect";

/// Account, device and subprotocol, with spaces between.
pub(crate) fn write(connect: &Connect) -> String {
    let Connect { account, device, encoding } = connect;
    format!("{account} {device} {}", encoding.subprotocol())
}

/// The reverse of [`write()`].
pub(crate) fn read(header: &str) -> Option<Connect> {
    let mut parts = header.split(' ');
    let connect = Connect {
        account: parts.next()?.parse().ok()?,
        device: parts.next()?.parse().ok()?,
        encoding: Encoding::from_subprotocol(parts.next()?)?,
    };
    parts.next().is_none().then_some(connect)
}

#[cfg(test)]
mod tests {
    use estafette_protocol::{DeviceId, Encoding};
    use estafette_relay::Connect;

    use super::{read, write};

    #[test]
    fn the_header_is_pinned() {
        let account = "+33612345678".parse().unwrap();
        let connect = Connect { account, device: DeviceId(255), encoding: Encoding::Cbor };
        let header = "+33612345678 00000000000000ff estafette.v1.cbor";
        assert_eq!(write(&connect), header);
        assert_eq!(read(header), Some(connect));
    }

    #[test]
    fn anything_else_connects_nobody() {
        for wrong in [
            "",
            "+33612345678",
            "+33612345678 00000000000000ff",
            "+33612345678 00000000000000ff estafette.v1.xml",
            "+33612345678 ff estafette.v1.json",
            "33612345678 00000000000000ff estafette.v1.json",
            "+33612345678 00000000000000ff estafette.v1.json x",
        ] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }
}
