// The page of an edge package: the package's own Python makes the graph's inputs and reads its outputs, and
// onnxruntime-web runs the graph. Nothing is loaded but the package's own files.
import * as ort from "./vendor/ort.wasm.min.mjs";
import { loadPyodide } from "./vendor/pyodide.mjs";

const here = new URL(".", import.meta.url).href;
const element = (id) => document.getElementById(id);

async function fetched(name) {
  const response = await fetch(new URL(`../${name}`, here));
  if (!response.ok) throw new Error(`${name} can't be loaded (${response.status})`);
  return new Uint8Array(await response.arrayBuffer());
}

async function opened() {
  const text = async (name) => new TextDecoder().decode(await fetched(name));
  const files = JSON.parse(await text("manifest.json")).files;
  const needed = ["manifest.json", ...Object.keys(files).filter((it) => !it.startsWith("page/") || it.startsWith("page/python/"))];
  // One thread: more need a server that isolates the page from all others.
  ort.env.wasm.numThreads = 1;
  ort.env.wasm.wasmPaths = `${here}vendor/`;
  const [python, graph, contents] = await Promise.all([
    loadPyodide({ indexURL: `${here}vendor/`, stdout: () => {}, stderr: (line) => console.warn(line) }),
    fetched("model.onnx"),
    Promise.all(needed.map(async (name) => [name, await fetched(name)])),
  ]);
  for (const [name, content] of contents) {
    const path = `/package/${name}`;
    python.FS.mkdirTree(path.slice(0, path.lastIndexOf("/")));
    python.FS.writeFile(path, content);
  }
  const session = await ort.InferenceSession.create(graph);
  python.globals.set("names", JSON.stringify([session.inputNames, session.outputNames]));
  const page = python.runPython(`
import json, sys
sys.path[:0] = ["/package", "/package/page/python"]
from asking import Page
Page(*json.loads(names))`);
  const identity = JSON.parse(await text("model.json"));
  return { page, session, identity, example: await text("example.json") };
}

const KINDS = {
  float32: (data) => ["float32", Float32Array.from(data)],
  float64: (data) => ["float64", Float64Array.from(data)],
  int64: (data) => ["int64", BigInt64Array.from(data, BigInt)],
  bool: (data) => ["bool", Uint8Array.from(data, Number)],
  object: (data) => ["string", data],
};

async function answered({ page, session }, body) {
  const asked = JSON.parse(page.inputs(body));
  if (asked.refused) return { refused: asked.refused };
  const feeds = {};
  for (const [name, { type, dims, data }] of Object.entries(asked.inputs)) {
    feeds[name] = new ort.Tensor(...KINDS[type](data), dims);
  }
  const outputs = {};
  for (const [name, { type, dims, data }] of Object.entries(await session.run(feeds))) {
    outputs[name] = { type, dims, data: Array.from(data, (value) => (typeof value === "bigint" ? Number(value) : value)) };
  }
  return { answer: JSON.parse(page.answer(body, JSON.stringify(outputs))) };
}

function show(found) {
  element("said").textContent = found.refused ? "Refused" : "Answer";
  element("said").className = found.refused ? "bad" : "";
  element("answer").textContent = JSON.stringify(found.refused ?? found.answer, null, 2);
}

try {
  const model = await opened();
  const { model: name, model_version: version } = model.identity;
  document.title = element("title").textContent = `${name} ${version}`;
  element("status").textContent = `Trained on data ${model.identity.data_version.slice(0, 12)} by code ${model.identity.code_commit.slice(0, 12)}. Ready.`;
  element("request").value = model.example.trim();
  element("form").addEventListener("submit", async (event) => {
    event.preventDefault();
    element("predict").disabled = true;
    try {
      show(await answered(model, element("request").value));
    } catch (error) {
      show({ refused: { failed: String(error) } });
    } finally {
      element("predict").disabled = false;
    }
  });
  element("example").addEventListener("click", () => { element("request").value = model.example.trim(); });
  for (const id of ["predict", "example"]) element(id).disabled = false;
  window.bakehouse = { predict: (document) => answered(model, JSON.stringify(document)) };
} catch (error) {
  element("status").textContent = `The model can't be loaded: ${error.message ?? error}`;
  element("status").className = "bad";
}
