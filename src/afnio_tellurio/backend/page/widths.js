// The width of an element.

import {useLayoutEffect, useState} from "./preact.js";

/** @param {{current: Box}} element @param {number} [known] The width that it is about to have. */
export function useWidth(element, known = 0) {
	const [width, setWidth] = useState(known);
	useLayoutEffect(() => {
		const watcher = new ResizeObserver(([entry]) => setWidth(Math.floor(entry.contentRect.width)));
		if (element.current) watcher.observe(element.current);
		return () => watcher.disconnect();
	}, []);
	return width;
}
