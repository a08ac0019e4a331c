// Planets on their way, with numbers that depend on every step before; and a map that grows and shrinks.
"use strict";
const bodies = [];
for (let i = 0; i < 8; i++) {
    bodies.push({ x: Math.cos(i) * (i + 1), y: Math.sin(i) * (i + 1), vx: -Math.sin(i) / 9, vy: Math.cos(i) / 9, m: 1 / (i + 1) });
}
const seen = new Map();
const steps = Number(process.argv[2]);
for (let step = 0; step < steps; step++) {
    for (const a of bodies) {
        for (const b of bodies) {
            if (a === b) continue;
            const dx = b.x - a.x, dy = b.y - a.y, d = Math.sqrt(dx * dx + dy * dy + 0.01);
            a.vx += dx * b.m / (d * d * d) * 1e-4;
            a.vy += dy * b.m / (d * d * d) * 1e-4;
        }
    }
    for (const a of bodies) { a.x += a.vx * 1e-4; a.y += a.vy * 1e-4; }
    const key = "k" + step % 5003;
    seen.set(key, (seen.get(key) || 0) + bodies[step % 8].x);
    if (step % (steps / 20) === 0) console.log(step, bodies[0].x, bodies[7].y);
}
let sum = 0;
for (const value of seen.values()) sum += value;
console.log(seen.size, sum);
