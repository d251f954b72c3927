// A page that no longer hears from the server must not look alive.
const lost = document.getElementById("lost");
let heard = new Date();
document.addEventListener("htmx:after:swap", () => { heard = new Date(); lost.hidden = true; });
for (const event of ["htmx:error", "htmx:response:error"]) {
  document.addEventListener(event, () => {
    lost.textContent = `The server does not answer. What you see is from ${heard.toLocaleTimeString()}.`;
    lost.hidden = false;
  });
}
