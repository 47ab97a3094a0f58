// The width of an element.

import {useLayoutEffect, useState} from "./preact.js";

/** @param {{current: Box}} element */
export function useWidth(element) {
	const [width, setWidth] = useState(0);
	useLayoutEffect(() => {
		const watcher = new ResizeObserver(([entry]) => setWidth(Math.floor(entry.contentRect.width)));
		if (element.current) watcher.observe(element.current);
		return () => watcher.disconnect();
	}, []);
	return width;
}
