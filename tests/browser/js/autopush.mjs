// A push service as Firefox wants one: autopush's WebSocket protocol (push-notification) on one side,
// the endpoint that application servers post to on the other.

import { randomUUID } from "node:crypto";
import { WebSocketServer } from "ws";
import { endpoint, Waiting } from "./endpoint.mjs";

const READ = 100;

export async function autopush() {
  const subscriptions = new Map();
  const agents = new Map();
  const { server, posts, url } = await endpoint(subscriptions);

  const notify = (agent, { subscription, message }) => agent.say?.({
    messageType: "notification",
    channelID: subscription.channel,
    version: message.id,
    ttl: message.ttl,
    data: message.body.toString("base64url"),
    headers: { encoding: "aes128gcm" },
  });

  function register(agent, channel, key) {
    const token = randomUUID();
    const subscription = { channel, key };
    subscription.deliver = (message) => {
      agent.waiting.put(subscription, message);
      notify(agent, { subscription, message });
    };
    subscriptions.set(token, subscription);
    return `${url}/wpush/v2/${token}`;
  }

  const handlers = {
    hello(connection, { uaid }) {
      const agent = agents.get(uaid) ?? { uaid: randomUUID().replaceAll("-", ""), waiting: new Waiting() };
      agents.set(agent.uaid, agent);
      agent.say = connection.say;
      connection.agent = agent;
      agent.say({ messageType: "hello", status: 200, uaid: agent.uaid, use_webpush: true, broadcasts: {} });
      agent.waiting.forEach((waiting) => notify(agent, waiting));
    },
    register({ agent, say }, { channelID, key }) {
      say({ messageType: "register", status: 200, channelID, pushEndpoint: register(agent, channelID, key) });
    },
    unregister({ say }, { channelID }) {
      subscriptions.forEach(({ channel }, token) => channel === channelID && subscriptions.delete(token));
      say({ messageType: "unregister", status: 200, channelID });
    },
    broadcast_subscribe() {},
    ack({ agent }, { updates }) {
      for (const { version, code } of updates) {
        agent.waiting.delete(version);
        if (code !== READ) posts.push({ status: code, error: "the browser could not read it" });
      }
    },
    // An empty object.
    ping: ({ say }) => say({}),
  };

  const sockets = new WebSocketServer({
    server,
    handleProtocols: (offered) => offered.has("push-notification") && "push-notification",
  });
  sockets.on("connection", (socket) => {
    const connection = { say: (message) => socket.send(JSON.stringify(message)) };
    socket.on("message", (data) => {
      const message = JSON.parse(data);
      handlers[message.messageType ?? "ping"](connection, message);
    });
    socket.on("close", () => {
      if (connection.agent?.say === connection.say) delete connection.agent.say;
    });
  });

  // As when the service lost its storage: all subscriptions are gone, and browsers hear of it when
  // they connect again.
  function forget() {
    subscriptions.clear();
    agents.clear();
    sockets.clients.forEach((socket) => socket.terminate());
  }
  return { url, posts, forget };
}
