// Shows a page in a real browser, without network, and prints what the given function makes of it.
// Standard input: {"url": …, "steps": "body of an async function of puppeteer's `page`", "width": pixels}
import chromium from "@sparticuz/chromium";
import puppeteer from "puppeteer-core";
import { text } from "node:stream/consumers";

const { url, steps, width } = JSON.parse(await text(process.stdin));
const browser = await puppeteer.launch({
  executablePath: await chromium.executablePath(),
  // A sandbox cannot be had as root nor in most containers, and the pages are our own.
  args: ["--no-sandbox", "--no-zygote", "--host-resolver-rules=MAP * ~NOTFOUND"],
  headless: "shell",
});
try {
  const page = await browser.newPage();
  const errors = [];
  page.on("pageerror", (error) => errors.push(String(error)));
  page.on("console", (message) => message.type() === "error" && errors.push(message.text()));
  page.on("request", (request) => request.url().startsWith("http") && errors.push(`asks for ${request.url()}`));
  await page.setViewport({ width, height: 900 });
  await page.goto(url, { waitUntil: "load" });
  const AsyncFunction = (async () => {}).constructor;
  const answer = await new AsyncFunction("page", steps)(page);
  console.log(JSON.stringify({ errors, answer }));
} finally {
  await browser.close();
}
