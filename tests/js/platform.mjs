// What matrix-js-sdk expects of the browser that it was made for. Imported before it.

import "fake-indexeddb/auto"; // a browser's database in memory: the stores live as long as this process

// Standard output belongs to the protocol; whatever a library says goes to standard error.
for (const name of ["debug", "info", "log", "trace"]) console[name] = (...words) => console.warn(...words);

// In Node from version 22 on: https://tc39.es/ecma262/#sec-promise.withResolvers
Promise.withResolvers ??= function () {
    const made = {};
    made.promise = new this((resolve, reject) => Object.assign(made, { resolve, reject }));
    return made;
};
