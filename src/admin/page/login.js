// The log-in: a token, for a session that the browser keeps in a cookie.

import { html, useEffect, useRef, useState } from "./vendor/htm-preact.js";
import { call, path } from "./api.js";
import { visible } from "./words.js";

export function LogIn({ onDone }) {
  const [token, setToken] = useState("");
  const [problem, setProblem] = useState(null);
  const field = useRef(null);
  useEffect(() => field.current.focus(), []);
  const logIn = async (event) => {
    event.preventDefault();
    try {
      await call("POST", path(["session"]), { json: { token } });
      onDone();
    } catch (failed) {
      setProblem(failed);
      field.current.select();
    }
  };
  return html`<main class="login" id="main">
    <form onSubmit=${logIn}>
      <h1>hookgate</h1>
      <p>This gate asks for a token. It is in the file that <code>admin.token_file</code> names,
        or <code>admin.read_token_file</code> for looking only.</p>
      <label class="field"><span>Token</span>
        <input ref=${field} type="password" name="token" autocomplete="current-password" required value=${token}
          aria-invalid=${problem !== null} aria-describedby="login-problem" onInput=${(event) => setToken(event.target.value)} />
      </label>
      <p id="login-problem" class="bad-text" role="alert">${problem && (problem.status === 401 ? "This is not the token." : visible(problem.message))}</p>
      <button type="submit" class="primary">Log in</button>
    </form>
  </main>`;
}

export async function logOut() {
  await call("DELETE", path(["session"]));
}
