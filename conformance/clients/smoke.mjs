// Lists, creates and watches with the official JavaScript client.
import assert from "node:assert/strict";
import { pathToFileURL } from "node:url";

const k8s = await import(pathToFileURL(process.env.CLIENT_LIBRARY).href);

const config = new k8s.KubeConfig();
config.loadFromDefault();
const core = config.makeApiClient(k8s.CoreV1Api);

const namespaces = (await core.listNamespace()).items.map((item) => item.metadata.name);
assert.ok(namespaces.includes("default"), namespaces.join());

const namespace = (await core.createNamespace({ body: { metadata: { generateName: "javascript-" } } })).metadata.name;
const version = (await core.listNamespacedConfigMap({ namespace })).metadata.resourceVersion;

const seen = [];
const finished = new Promise((resolve, reject) => {
  const path = `/api/v1/namespaces/${namespace}/configmaps`;
  const options = { resourceVersion: version, labelSelector: "made-by=javascript" };
  const each = (type, object) => {
    seen.push([type, object.metadata.name, object.data?.a]);
    if (type === "DELETED") resolve();
  };
  new k8s.Watch(config).watch(path, options, each, (error) => (error ? reject(error) : resolve())).catch(reject);
  setTimeout(() => reject(new Error(`timed out after ${JSON.stringify(seen)}`)), 30_000).unref();
});

const body = { metadata: { name: "one", labels: { "made-by": "javascript" } }, data: { a: "1" } };
const made = await core.createNamespacedConfigMap({ namespace, body });
assert.ok(made.metadata.uid);
await assert.rejects(core.createNamespacedConfigMap({ namespace, body }), (error) => error.code === 409);
made.data.a = "2";
await core.replaceNamespacedConfigMap({ name: "one", namespace, body: made });
const found = await core.readNamespacedConfigMap({ name: "one", namespace });
assert.deepEqual(found.data, { a: "2" });
await core.deleteNamespacedConfigMap({ name: "one", namespace });
await finished;
assert.deepEqual(seen, [["ADDED", "one", "1"], ["MODIFIED", "one", "2"], ["DELETED", "one", "2"]]);

const objects = k8s.KubernetesObjectApi.makeApiClient(config);
const pod = { apiVersion: "v1", kind: "Pod", metadata: { name: "p", namespace }, spec: { containers: [{ name: "c", image: "i" }] } };
assert.equal((await objects.create(pod)).status.phase, "Pending");
await core.deleteNamespacedPod({ name: "p", namespace, gracePeriodSeconds: 0 });

await core.deleteNamespace({ name: namespace });
console.log("ok");
process.exit(0);
