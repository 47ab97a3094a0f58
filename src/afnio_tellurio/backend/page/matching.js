// A worker that finds the runs that match a regular expression. The page ends it if it takes too long.

/** @param {{pattern: string, texts: [string, string[]][]}} question @returns {Matches} */
function match({pattern, texts}) {
	try {
		const expression = new RegExp(pattern, "iu");
		const matching = texts.filter(([, words]) => words.some(word => expression.test(word)));
		return {uuids: new Set(matching.map(([uuid]) => uuid)), problem: null};
	} catch (error) {
		return {uuids: new Set(), problem: /** @type {Error} */ (error).message};
	}
}

addEventListener("message", ({data}) => postMessage(match(data)));
// It is ready.
postMessage(null);
