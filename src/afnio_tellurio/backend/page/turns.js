// What is made a bit in each frame, so that the first of many is on the screen before the last one is made.

import {useLayoutEffect, useState} from "./preact.js";

// Of each frame. Its drawing takes about as long again.
const MAKING_MS = 16;

/** @type {Set<() => void>} */
const waiting = new Set();
let frame = 0;

async function makeSome() {
	const end = performance.now() + MAKING_MS;
	for (const make of waiting) {
		waiting.delete(make);
		make();
		// The element is rendered in between.
		await null;
		if (performance.now() > end) break;
	}
	frame = waiting.size ? requestAnimationFrame(makeSome) : 0;
}

// Whether an element that is ready has had its turn.
/** @param {boolean} isReady */
export function useTurn(isReady) {
	const [isDue, setDue] = useState(false);
	useLayoutEffect(() => {
		if (!isReady || isDue) return undefined;
		const make = () => setDue(true);
		waiting.add(make);
		if (!frame) frame = requestAnimationFrame(makeSome);
		return () => void waiting.delete(make);
	}, [isReady]);
	return isDue;
}
