// Signing in: by the code in the URL that was printed, by the cookie, or by the token. Whoever signs in learns in the
// same answer what a page needs first.

import { get, post, Refused } from "./api.js";
import { byId, visible } from "./dom.js";

/** Shows the form and returns when somebody has signed in. */
export function askToSignIn() {
  const dialog = byId("sign-in");
  if (dialog.open) return new Promise(() => {});
  dialog.showModal();
  dialog.oncancel = (event) => event.preventDefault();
  return new Promise((done) => {
    byId("sign-in-form").onsubmit = async (event) => {
      event.preventDefault();
      try {
        const about = await post("/sign-in", { token: byId("token").value.trim() });
        byId("token").value = "";
        dialog.close();
        done(about);
      } catch (error) {
        byId("sign-in-error").textContent = visible(error.message);
      }
    };
  });
}

/** The session, after signing in by the code in the URL, the cookie, or the form. */
export async function session() {
  const code = /^#code=([0-9a-f]+)$/.exec(location.hash);
  if (code) {
    history.replaceState(null, "", "/");
    try {
      return await post("/sign-in", { code: code[1] });
    } catch (error) {
      byId("sign-in-error").textContent = visible(error.message);
    }
  }
  try {
    return await get("/session");
  } catch (error) {
    if (!(error instanceof Refused) || error.status !== 401) throw error;
    return askToSignIn();
  }
}
