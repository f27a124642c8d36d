"""Lists, creates and watches with the official Python client: core and custom resources, errors as exceptions."""
import sys
import threading

from kubernetes import client, config, dynamic, watch

config.load_kube_config()
core, apps = client.CoreV1Api(), client.AppsV1Api()

names = [item.metadata.name for item in core.list_namespace().items]
assert {"default", "kube-system"} <= set(names), names

namespace = core.create_namespace({"metadata": {"generateName": "python-"}}).metadata.name

seen, ready = [], threading.Event()


def follow():
    version = core.list_namespaced_config_map(namespace).metadata.resource_version
    ready.set()
    stream = watch.Watch()
    for event in stream.stream(
        core.list_namespaced_config_map, namespace, resource_version=version, label_selector="made-by=python", timeout_seconds=30
    ):
        seen.append((event["type"], event["object"].metadata.name, (event["object"].data or {}).get("a")))
        if event["type"] == "DELETED":
            stream.stop()


follower = threading.Thread(target=follow)
follower.start()
assert ready.wait(20)

body = {"metadata": {"name": "one", "labels": {"made-by": "python"}}, "data": {"a": "1"}}
made = core.create_namespaced_config_map(namespace, body)
assert made.metadata.uid and made.metadata.creation_timestamp, made
try:
    core.create_namespaced_config_map(namespace, body)
    sys.exit("a second create went through")
except client.ApiException as error:
    assert error.status == 409, error
core.patch_namespaced_config_map("one", namespace, {"data": {"a": "2"}})
found = core.read_namespaced_config_map("one", namespace)
assert found.data == {"a": "2"}, found.data
found.data["a"] = "3"
core.replace_namespaced_config_map("one", namespace, found)
core.delete_namespaced_config_map("one", namespace)
follower.join(30)
assert seen == [("ADDED", "one", "1"), ("MODIFIED", "one", "2"), ("MODIFIED", "one", "3"), ("DELETED", "one", "3")], seen

template = {"metadata": {"labels": {"app": "a"}}, "spec": {"containers": [{"name": "a", "image": "a"}]}}
spec = {"replicas": 2, "selector": {"matchLabels": {"app": "a"}}, "template": template}
deployment = apps.create_namespaced_deployment(namespace, {"metadata": {"name": "a"}, "spec": spec})
assert deployment.spec.strategy.type == "RollingUpdate", deployment.spec.strategy
scale = apps.patch_namespaced_deployment_scale("a", namespace, {"spec": {"replicas": 5}})
assert scale.spec.replicas == 5, scale

maps = dynamic.DynamicClient(client.ApiClient()).resources.get(api_version="v1", kind="ConfigMap")
applied = maps.server_side_apply(
    namespace=namespace, field_manager="python", body={"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "two"}, "data": {"b": "1"}}
)
assert applied.metadata.managedFields[0].manager == "python", applied

core.delete_namespace(namespace)
print("ok")
