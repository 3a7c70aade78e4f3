// A Worker as small as can be, to test the kit without the real one.

import { DurableObject } from "cloudflare:workers";

export class Mailbox extends DurableObject {
  async fetch() {
    const sql = this.ctx.storage.sql;
    sql.exec("CREATE TABLE IF NOT EXISTS visit (id INTEGER PRIMARY KEY)");
    sql.exec("INSERT INTO visit DEFAULT VALUES");
    return new Response(String(sql.exec("SELECT COUNT(*) AS n FROM visit").one().n));
  }
}

export default {
  async fetch(request, env) {
    const { pathname } = new URL(request.url);
    if (pathname === "/count") return env.MAILBOX.getByName("one").fetch(request);
    if (pathname === "/limit") return Response.json(await env.LIMIT_ADDRESS.limit({ key: "k" }));
    if (pathname === "/log") console.log(JSON.stringify({ event: "asked" }));
    if (pathname === "/sms") {
      const answer = await fetch(env.SMS_URL, {
        method: "POST",
        headers: { authorization: `Bearer ${env.SMS_SECRET}` },
        body: JSON.stringify({ to: "+33600000001", text: "Your code is 123456." }),
        signal: AbortSignal.timeout(2000),
      }).catch(() => ({ status: 0 }));
      return new Response(String(answer.status));
    }
    return new Response(env.GREETING ?? "none");
  },
};
