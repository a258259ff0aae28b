// One program that is told what to do on standard input and answers on standard output, a JSON object a line.
//
//   {"id": 1, "do": "say", "with": {"room_id": "…", "body": "!help"}}   →   {"id": 1, "answer": "$event"}
//                                                                     or   {"id": 1, "error": "what went wrong"}
//
// `node driver.mjs client.mjs`: what it can do are the methods of that module's Program. Orders run side by side. It
// ends when its input does.

import "./platform.mjs";

import { createInterface } from "node:readline";

const { Program } = await import(`./${process.argv[2]}`); // only once the platform is there

const program = new Program();

async function obey(line) {
    const order = JSON.parse(line);
    let reply;
    try {
        reply = { id: order.id, answer: (await program[order.do](order.with)) ?? null };
    } catch (error) {
        reply = { id: order.id, error: String(error?.message ?? error) };
    }
    process.stdout.write(JSON.stringify(reply) + "\n");
}

createInterface({ input: process.stdin })
    .on("line", obey)
    .on("close", async () => {
        await program.stop();
        process.exit(0);
    });
