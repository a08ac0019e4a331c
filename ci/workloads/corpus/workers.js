// Worker threads, each with an engine of its own, and memory that all of them share.
"use strict";
const { Worker, isMainThread, workerData, parentPort } = require("worker_threads");
const crypto = require("crypto");
const COUNT = 2, ROUNDS = Number(process.argv[2]);
if (isMainThread) {
    const shared = new SharedArrayBuffer(4 * COUNT);
    const done = [];
    let left = COUNT;
    for (let i = 0; i < COUNT; i++) {
        new Worker(__filename, { argv: [ROUNDS], workerData: { i, shared } }).on("message", (text) => {
            done[i] = text;
            if (--left === 0) console.log(done.join("\n"), new Int32Array(shared).join(" "));
        });
    }
} else {
    const counts = new Int32Array(workerData.shared);
    let digest = Buffer.from([workerData.i]);
    for (let round = 0; round < ROUNDS; round++) {
        digest = crypto.createHash("sha256").update(digest).digest();
        Atomics.add(counts, round % COUNT, digest[0]);
    }
    parentPort.postMessage(digest.toString("hex"));
}
