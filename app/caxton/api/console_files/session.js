// Who is signed in, and every question to the node. The credential lives as long as the tab, and nowhere else.

const KEPT = "caxton.credential";
const TOKEN = /^[\w-]+\.[\w-]+\.[\w-]+$/;

/** What the node refused, in words for a person. */
export class Refused extends Error {
  constructor(status, problem) {
    const error = problem.error || {};
    super(status === 403 ? `You may not do this. ${error.message}` : error.message || `The node answered ${status}.`);
    this.status = status;
    this.code = error.code;
  }
}

export class Session {
  constructor() {
    this.credential = sessionStorage.getItem(KEPT);
    this.caller = undefined;
  }

  /** The first message over the WebSocket. */
  get auth() {
    if (!this.credential) return { type: "auth" };
    return TOKEN.test(this.credential) ? { type: "auth", token: this.credential } : { type: "auth", api_key: this.credential };
  }

  /** Finds out who this is; throws `Refused` where the credential (or its absence) is. */
  async signIn(credential) {
    const before = this.credential;
    if (credential) this.credential = credential;
    try {
      this.caller = await this.get("whoami");
    } catch (error) {
      this.credential = before;
      throw error;
    }
    if (credential) sessionStorage.setItem(KEPT, credential);
  }

  signOut() {
    sessionStorage.removeItem(KEPT);
    this.credential = this.caller = undefined;
  }

  may(permission) { return Boolean(this.caller) && this.caller.permissions.includes(permission); }

  get(path) { return this.ask("GET", path); }

  post(path, body = {}) { return this.ask("POST", path, JSON.stringify(body), { "Content-Type": "application/json" }); }

  async ask(method, path, body, headers = {}) {
    const { auth } = this;
    if (auth.token) headers.Authorization = `Bearer ${auth.token}`;
    if (auth.api_key) headers["X-API-Key"] = auth.api_key;
    let answer;
    try {
      answer = await fetch(`/api/v1/${path}`, { method, body, headers, credentials: "omit" });
    } catch {
      throw new Error("The node cannot be reached.");
    }
    const text = await answer.text();
    let found = {};
    try { found = text ? JSON.parse(text) : {}; } catch { /* a balancer's own words */ }
    if (!answer.ok) throw new Refused(answer.status, found);
    return found;
  }
}

/** An agent's name in a path: `team/name` stays two parts. */
export const inPath = name => name.split("/").map(encodeURIComponent).join("/");
