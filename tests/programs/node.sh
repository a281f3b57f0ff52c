#!/bin/sh
. "$(dirname "$0")/common.sh"
require node

cat >"$work/session.js" <<'END'
const crypto = require('crypto');
const zlib = require('zlib');
const { execFileSync } = require('child_process');
const { Worker, isMainThread, parentPort, workerData } = require('worker_threads');

const digest = (data) => crypto.createHash('sha256').update(data).digest('hex');
let state = 1;
const random = (bound) => (state = (state * 16807) % 2147483647) % bound;

function build(depth) {
    if (depth === 0)
        return random(2) ? random(1e9) : 'text'.repeat(random(20));
    return Array.from({ length: 6 }, (_, i) => ({ ['key' + i]: build(depth - 1) }));
}

function work(number) {
    const table = new Map();
    for (let i = 0; i < 50000; i++)
        table.set((i * 7919 + number) % 5003, `${number}-${i}`.repeat(i % 7));
    const buffers = [];
    for (const value of table.values())
        buffers.push(Buffer.from(value));
    return digest(Buffer.concat(buffers));
}

if (!isMainThread) {
    parentPort.postMessage(work(workerData));
} else {
    (async () => {
        const text = JSON.stringify(build(6));
        console.log('json', text.length, digest(JSON.stringify(JSON.parse(text))));
        console.log('regexp', digest(text.replace(/(text)+/g, (match) => match.toUpperCase())));
        console.log('zlib', digest(zlib.gunzipSync(zlib.gzipSync(text.repeat(4)))));
        const packed = await new Promise((resolve, reject) =>
            zlib.brotliCompress(text.slice(0, 300000), (error, result) => (error ? reject(error) : resolve(result))));
        console.log('brotli', digest(zlib.brotliDecompressSync(packed)));
        const buffers = [];
        for (let i = 0; i < 2000; i++)
            buffers.push(Buffer.alloc(random(20000), i & 255));
        console.log('buffers', digest(Buffer.concat(buffers.filter((_, i) => i % 3))));
        const answers = await Promise.all([1, 2, 3, 4].map((number) => new Promise((resolve, reject) => {
            const worker = new Worker(__filename, { workerData: number });
            worker.on('message', resolve);
            worker.on('error', reject);
        })));
        console.log('workers', answers.join(' '));
        for (let i = 0; i < 3; i++)
            console.log('child', execFileSync(process.execPath, ['-p', `'x'.repeat(${i * 1000}).length`]).toString());
    })();
}
END
compare node "$work/session.js"
