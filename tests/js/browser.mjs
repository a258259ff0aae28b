// Chromium with our small Matrix client (`page/`) in it, driven as a person would: typing, pressing, looking.

import { createServer } from "node:http";
import { copyFile, mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, extname, join } from "node:path";
import { fileURLToPath } from "node:url";

import { build } from "esbuild";
import { chromium } from "playwright-core";

const HERE = fileURLToPath(new URL(".", import.meta.url));
const WASM = "matrix_sdk_crypto_wasm_bg.wasm";
const TYPES = { ".css": "text/css", ".html": "text/html", ".js": "text/javascript", ".wasm": "application/wasm" };

export class Program {
    #folder; // the built page
    #server;
    #browser;
    #tabs = new Map();

    /** Builds the page, serves it to this machine, and starts the browser. @param {string} executable - its path. */
    async start({ executable }) {
        this.#folder = await mkdtemp(join(tmpdir(), "lethe-page-"));
        await build({
            entryPoints: [join(HERE, "page/page.mjs")],
            outfile: join(this.#folder, "page.js"),
            bundle: true,
            format: "esm",
            define: { global: "globalThis" },
            logLevel: "error",
        });
        for (const name of ["index.html", "style.css"]) await copyFile(join(HERE, "page", name), join(this.#folder, name));
        const wasm = join(HERE, "node_modules/@matrix-org/matrix-sdk-crypto-wasm/pkg", WASM);
        await copyFile(wasm, join(this.#folder, WASM));
        this.#server = createServer((asked, answer) => this.#serve(asked, answer));
        await new Promise((listening) => this.#server.listen(0, "127.0.0.1", listening));
        this.#browser = await chromium.launch({ executablePath: executable, args: ["--no-sandbox"] });
    }

    /** Any path's last part is a file of the folder, which has no other folders. */
    async #serve(asked, answer) {
        const name = basename(new URL(asked.url, "http://page").pathname) || "index.html";
        try {
            const content = await readFile(join(this.#folder, name));
            answer.writeHead(200, { "Content-Type": TYPES[extname(name)] ?? "application/octet-stream" }).end(content);
        } catch {
            answer.writeHead(404).end();
        }
    }

    /** Opens the page in a new tab of that name and logs in, with a profile of its own. */
    async log_in({ tab, base_url, user_id, password }) {
        const context = await this.#browser.newContext({ deviceScaleFactor: 2, locale: "en-GB", timezoneId: "UTC" });
        const page = await context.newPage();
        page.on("pageerror", (error) => console.error(`${tab}: ${error.stack}`));
        await page.goto(`http://127.0.0.1:${this.#server.address().port}/`);
        this.#tabs.set(tab, page);
        await page.evaluate((given) => client.logIn(given), { base_url, user_id, password });
    }

    /** Shows a room, once the client has joined it. */
    async open({ tab, room_id, timeout }) {
        const page = this.#page(tab);
        await page.evaluate((id) => client.open(id), room_id);
        await page.waitForFunction(() => client.ready(), undefined, { timeout: timeout * 1000 });
    }

    /** Types a message and sends it. */
    async say({ tab, body }) {
        const composer = this.#page(tab).getByLabel("Message");
        await composer.fill(body);
        await composer.press("Enter");
    }

    /** Waits until a message shows that text, folded or not. */
    async see({ tab, text, timeout }) {
        await this.#message(tab, text).waitFor({ timeout: timeout * 1000 });
    }

    /** Waits until a reaction stands under the newest message with that text. */
    async reacted({ tab, text, key, timeout }) {
        await this.#message(tab, text).getByRole("button", { name: key }).waitFor({ timeout: timeout * 1000 });
    }

    /** Presses a reaction under the newest message with that text, once it is there. */
    async press({ tab, text, key, timeout }) {
        await this.#message(tab, text).getByRole("button", { name: key }).click({ timeout: timeout * 1000 });
    }

    /** Unfolds all that is folded in the newest message with that text. */
    async unfold({ tab, text }) {
        await this.#message(tab, text).evaluate((element) => {
            for (const details of element.querySelectorAll("details")) details.open = true;
        });
    }

    /** Waits until the page says that its session is over. */
    async signed_out({ tab, timeout }) {
        await this.#page(tab).locator("#signed-out").waitFor({ timeout: timeout * 1000 });
    }

    /**
     * Takes a picture of the page.
     *
     * @param {string} start - the message whose beginning is at the top; empty: as it is read, with the newest at the end.
     * @param {string} scale - `css`: a pixel for each px, `device`: two.
     * @returns {number} the height in px of the newest message with the text `measured`, 0 where there is none.
     */
    async picture({ tab, path, width, height, scale, start, measured }) {
        const page = this.#page(tab);
        await page.setViewportSize({ width, height });
        await page.evaluate(() => document.fonts.ready);
        const timeline = page.locator("#timeline");
        if (start) await this.#message(tab, start).evaluate((element) => element.scrollIntoView({ block: "start" }));
        else await timeline.evaluate((element) => (element.scrollTop = element.scrollHeight));
        await page.screenshot({ path, animations: "disabled", scale });
        if (!measured) return 0;
        const found = this.#message(tab, measured);
        return (await found.count()) ? found.evaluate((element) => element.getBoundingClientRect().height) : 0;
    }

    #page(tab) {
        const page = this.#tabs.get(tab);
        if (!page) throw new Error(`there is no tab ${tab}`);
        return page;
    }

    #message(tab, text) {
        return this.#page(tab).locator("article", { hasText: text }).last();
    }

    async stop() {
        await this.#browser?.close();
        this.#server?.close();
        if (this.#folder) await rm(this.#folder, { recursive: true });
    }
}
