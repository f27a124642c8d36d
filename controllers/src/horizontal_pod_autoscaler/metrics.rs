//! What the metrics APIs say: of resources (metrics.k8s.io), of pods and objects (custom.metrics.k8s.io), and of
//! things outside (external.metrics.k8s.io). Whoever serves them; values in thousandths.

use super::calculate::{Sample, Samples};
use api::selector::LabelSelector;
use api::{Quantity, Value};
use client::{Client, Error, Method};
use std::time::Duration;
use stdx::Time;

const RESOURCE: &str = "/apis/metrics.k8s.io/v1beta1";
const CUSTOM: &str = "custom.metrics.k8s.io";
const CUSTOM_VERSIONS: [&str; 2] = ["v1beta2", "v1beta1"];
const EXTERNAL: &str = "/apis/external.metrics.k8s.io/v1beta1";

/// The window of a custom metric that names none.
const WINDOW: Duration = Duration::from_secs(60);

/// Asks the metrics APIs.
pub struct Metrics<'a> {
    pub client: &'a Client,
    pub namespace: &'a str,
}

fn milli(value: &Value) -> Option<i64> {
    Quantity::parse(value.as_str()?).ok().map(|q| q.milli())
}

fn time(item: &Value) -> Time {
    api::time::parse(item.str_at(&["timestamp"])).unwrap_or_default()
}

/// The part of a query that holds a selector.
fn query(name: &str, selector: &str) -> String {
    let mut text = format!("{name}=");
    for byte in selector.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                text.push(char::from(byte))
            }
            _ => text.push_str(&format!("%{byte:02X}")),
        }
    }
    text
}

/// The selector of a metric as text, and "" when it has none.
fn selector_text(metric: &Value) -> Result<String, String> {
    let selector = metric.get("selector").filter(|s| !s.is_null());
    selector.map_or_else(|| Ok(String::new()), |s| LabelSelector::from_value(Some(s)).map(|s| s.to_string()))
}

impl Metrics<'_> {
    /// The use of a resource by each pod, or by one container of it.
    pub async fn resource(&self, resource: &str, selector: &str, container: &str) -> Result<Samples, String> {
        let path =
            format!("{RESOURCE}/namespaces/{}/pods?{}", self.namespace, query("labelSelector", selector));
        let list = self.get(&path, "pods.metrics.k8s.io").await;
        let list = list.map_err(|why| format!("unable to fetch metrics from resource metrics API: {why}"))?;
        if list.list_at(&["items"]).is_empty() {
            return Err("no metrics returned from resource metrics API".to_owned());
        }
        let sample = |item: &Value| {
            let containers = item.list_at(&["containers"]);
            let mut counted =
                containers.iter().filter(|c| container.is_empty() || c.str_at(&["name"]) == container);
            let used = |c: &Value| c.at(&["usage", resource]).and_then(milli);
            let first = used(counted.next()?)?;
            let value = counted.try_fold(first, |sum, c| Some(sum.saturating_add(used(c)?)))?;
            let nanos = api::time::parse_duration(item.str_at(&["window"])).unwrap_or(0);
            let window = Duration::from_nanos(u64::try_from(nanos).unwrap_or(0));
            Some((item.str_at(&["metadata", "name"]).to_owned(), Sample { value, at: time(item), window }))
        };
        Ok(list.list_at(&["items"]).iter().filter_map(sample).collect())
    }

    /// A metric of each pod.
    pub async fn pods(&self, metric: &Value, selector: &str) -> Result<Samples, String> {
        let name = metric.str_at(&["name"]);
        let more = query("labelSelector", selector);
        let list =
            self.custom(&format!("namespaces/{}/pods/*/{name}", self.namespace), &more, metric).await?;
        let sample = |item: &Value| {
            let window = item.i64_at(&["windowSeconds"]).or(item.i64_at(&["window"]));
            let window = window.map_or(WINDOW, |secs| Duration::from_secs(u64::try_from(secs).unwrap_or(0)));
            let value = item.get("value").and_then(milli)?;
            Some((
                item.str_at(&["describedObject", "name"]).to_owned(),
                Sample { value, at: time(item), window },
            ))
        };
        Ok(list.iter().filter_map(sample).collect())
    }

    /// A metric of one object; `resource` is `PLURAL.GROUP`, or "" for the namespace itself.
    pub async fn object(&self, metric: &Value, resource: &str, name: &str) -> Result<i64, String> {
        let (namespace, what) = (self.namespace, metric.str_at(&["name"]));
        let path = match resource {
            "" => format!("namespaces/{namespace}/metrics/{what}"),
            resource => format!("namespaces/{namespace}/{resource}/{name}/{what}"),
        };
        let list = self.custom(&path, "", metric).await?;
        let value = list.first().and_then(|item| item.get("value")).and_then(milli);
        value.ok_or_else(|| "no metrics returned from custom metrics API".to_owned())
    }

    /// The values of a metric of something outside.
    pub async fn external(&self, metric: &Value) -> Result<Vec<i64>, String> {
        let name = metric.str_at(&["name"]);
        let selector = query("labelSelector", &selector_text(metric)?);
        let path = format!("{EXTERNAL}/namespaces/{}/{name}?{selector}", self.namespace);
        let list = self.get(&path, &format!("{name}.external.metrics.k8s.io")).await;
        let list = list.map_err(|why| format!("unable to fetch metrics from external metrics API: {why}"))?;
        let items = list.list_at(&["items"]);
        if items.is_empty() {
            return Err("no metrics returned from external metrics API".to_owned());
        }
        Ok(items.iter().filter_map(|item| item.get("value").and_then(milli)).collect())
    }

    async fn custom(&self, path: &str, more: &str, metric: &Value) -> Result<Vec<Value>, String> {
        let error = |why: String| format!("unable to fetch metrics from custom metrics API: {why}");
        let group = self.client.call(Method::GET, &format!("/apis/{CUSTOM}"), None).await;
        let group = match group {
            Ok(group) => group,
            Err(known) if known.is_not_found() => {
                return Err(error(format!("no custom metrics API ({CUSTOM}) registered")));
            }
            Err(other) => return Err(error(other.to_string())),
        };
        let served = group.list_at(&["versions"]).iter().map(|v| v.str_at(&["version"]));
        let served: Vec<&str> = served.collect();
        let version = CUSTOM_VERSIONS.iter().find(|version| served.contains(version));
        let version = version.ok_or_else(|| error(format!("no custom metrics API ({CUSTOM}) registered")))?;
        let mut queries = vec![more.to_owned()];
        let selector = selector_text(metric)?;
        if !selector.is_empty() {
            queries.push(query("metricLabelSelector", &selector));
        }
        queries.retain(|query| !query.is_empty());
        let path = format!("/apis/{CUSTOM}/{version}/{path}?{}", queries.join("&"));
        let what = format!("*.{CUSTOM}");
        let list = self.get(path.trim_end_matches('?'), &what).await.map_err(error)?;
        match list.list_at(&["items"]) {
            [] => Err("no metrics returned from custom metrics API".to_owned()),
            items => Ok(items.to_vec()),
        }
    }

    /// Asks; what is not served is told of as client libraries do.
    async fn get(&self, path: &str, what: &str) -> Result<Value, String> {
        match self.client.call(Method::GET, path, None).await {
            Ok(found) => Ok(found),
            Err(Error::Refused(refusal)) if refusal.code == 404 && refusal.status.is_null() => {
                Err(format!("the server could not find the requested resource (get {what})"))
            }
            Err(error) => Err(error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selectors_are_written_into_queries() {
        assert_eq!(query("labelSelector", "a=b,c in (d)"), "labelSelector=a%3Db%2Cc%20in%20%28d%29");
    }
}
