// Runs a program on MicroPython's WebAssembly build, whose words have 32 bits, as those of boards do:
//
//     node run.mjs MODULE FOLDER:FOLDER:… PROGRAM [ARGUMENT …]
//
// MODULE is the build's micropython.mjs. What is in the folders, and each argument that is a file, is copied to the same
// place of the build's file system in memory; the working directory is the program's there too. standins.py comes first.

import fs from "fs";
import path from "path";
import { pathToFileURL } from "url";

const Full = name => fs.existsSync(name) ? path.resolve(name) : name;
const [module, folders, program, ...args] = process.argv.slice(2).map(
    (text, index) => index == 1 ? text.split(":").map(Full).join(":") : Full(text));
const here = path.dirname(path.resolve(process.argv[1]));

// Old builds look for their other half in the working directory.
process.chdir(path.dirname(module));
const { loadMicroPython } = await import(pathToFileURL(module));
const mp = await loadMicroPython({
    heapsize: 4 << 20,                  // and more where it is needed: nothing is collected while a program runs
    linebuffer: true,
    stdout: line => process.stdout.write(line + "\n"),
    stderr: line => process.stderr.write(line + "\n"),
});
const files = mp.FS || mp._module.FS;

function Copy(source) {
    if (fs.statSync(source).isDirectory()) {
        files.mkdirTree(source);
        for (const name of fs.readdirSync(source))
            if (name != "__pycache__")
                Copy(path.join(source, name));
    } else {
        files.mkdirTree(path.dirname(source));
        files.writeFile(source, fs.readFileSync(source));
    }
}

const paths = folders.split(":").filter(folder => folder);
for (const source of [...paths, here, program, ...args])
    if (fs.existsSync(source))
        Copy(source);
try {
    mp.runPython(`
import os, sys
sys.path[:] = ${JSON.stringify([...paths, here])} + sys.path
sys.argv[:] = ${JSON.stringify([program, ...args])}
os.chdir(${JSON.stringify(path.dirname(program))})
import standins
`);
    mp.runPython(fs.readFileSync(program, "utf-8"));
} catch (error) {
    process.stderr.write(String(error.message || error) + "\n");
    process.exitCode = 1;
}
