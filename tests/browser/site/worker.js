// Shows who wrote what, and tells the test's site what is shown and how many of its pages are open.

const VERSION = 1;

async function show(data) {
  const [version, ...fields] = new Uint8Array(await data.arrayBuffer());
  if (version !== VERSION) throw new Error(`a payload of version ${version}`);
  const { from, body = "" } = JSON.parse(new TextDecoder().decode(new Uint8Array(fields)));
  const text = new TextDecoder().decode(Uint8Array.from(atob(body), (byte) => byte.charCodeAt(0)));
  await registration.showNotification(from, { body: text, tag: from });
}

// Browsers replace a subscription without asking: the server must hear of the new one.
async function subscribeAgain() {
  const applicationServerKey = new URL(location).searchParams.get("key");
  const subscription = await registration.pushManager.subscribe({ userVisibleOnly: true, applicationServerKey });
  return { subscription };
}

async function tell(event, work) {
  const outcome = await work.catch((error) => ({ error: String(error) }));
  const shown = (await registration.getNotifications()).map(({ title, body }) => ({ title, body }));
  const pages = (await clients.matchAll({ includeUncontrolled: true, type: "window" })).length;
  await fetch("told", { method: "POST", body: JSON.stringify({ event, shown, pages, ...outcome }) });
}

addEventListener("push", (event) => event.waitUntil(tell("push", show(event.data))));
addEventListener("pushsubscriptionchange", (event) => event.waitUntil(tell("change", subscribeAgain())));
