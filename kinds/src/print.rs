//! Cells of tables as upstream's printers write them: ages, durations, joins with "+ N more...", labels.
//! Source: apimachinery `util/duration`, `pkg/printers/internalversion`.

use api::{Map, Value, selector::LabelSelector};

const MINUTE: i64 = 60;
const HOUR: i64 = 60 * MINUTE;
const DAY_HOURS: i64 = 24;
const YEAR_HOURS: i64 = 365 * DAY_HOURS;

/// `metadata.name`.
pub fn name(obj: &Value) -> Value {
    obj.str_at(&["metadata", "name"]).into()
}

/// The age of an object: `5m2s`; `<unknown>` without a creation time. `now` is unix seconds.
pub fn age(obj: &Value, now: i64) -> Value {
    since(obj.str_at(&["metadata", "creationTimestamp"]), now).into()
}

/// How long ago an RFC 3339 time was; `<unknown>` when there is none.
pub fn since(timestamp: &str, now: i64) -> String {
    unix_secs(timestamp).map_or_else(|| "<unknown>".to_owned(), |then| human_duration(now - then))
}

/// How long until an RFC 3339 time; `<unknown>` when there is none.
pub fn until(timestamp: &str, now: i64) -> String {
    unix_secs(timestamp).map_or_else(|| "<unknown>".to_owned(), |then| human_duration(then - now))
}

/// Seconds as two or three significant figures: `119s`, `5m3s`, `47h`, `2d3h`, `2y5d`. Up to a second of the future
/// counts as now, more is `<invalid>`.
pub fn human_duration(secs: i64) -> String {
    let (minutes, hours) = (secs / MINUTE, secs / HOUR);
    match () {
        () if secs < -1 => "<invalid>".to_owned(),
        () if secs < 0 => "0s".to_owned(),
        () if secs < 2 * MINUTE => format!("{secs}s"),
        () if minutes < 10 => two_units(minutes, "m", secs % 60, "s"),
        () if minutes < 180 => format!("{minutes}m"),
        () if hours < 8 => two_units(hours, "h", minutes % 60, "m"),
        () if hours < 48 => format!("{hours}h"),
        () if hours < 8 * DAY_HOURS => two_units(hours / DAY_HOURS, "d", hours % DAY_HOURS, "h"),
        () if hours < 2 * YEAR_HOURS => format!("{}d", hours / DAY_HOURS),
        () if hours < 8 * YEAR_HOURS => two_units(hours / YEAR_HOURS, "y", hours / DAY_HOURS % 365, "d"),
        () => format!("{}y", hours / YEAR_HOURS),
    }
}

fn two_units(big: i64, big_unit: &str, small: i64, small_unit: &str) -> String {
    if small == 0 { format!("{big}{big_unit}") } else { format!("{big}{big_unit}{small}{small_unit}") }
}

/// Seconds as one figure: `59s`, `59m`, `23h`, `364d`, `2y`.
pub fn short_human_duration(secs: i64) -> String {
    let (minutes, hours) = (secs / MINUTE, secs / HOUR);
    match () {
        () if secs < -1 => "<invalid>".to_owned(),
        () if secs < 0 => "0s".to_owned(),
        () if secs < MINUTE => format!("{secs}s"),
        () if minutes < 60 => format!("{minutes}m"),
        () if hours < DAY_HOURS => format!("{hours}h"),
        () if hours < YEAR_HOURS => format!("{}d", hours / DAY_HOURS),
        () => format!("{}y", hours / YEAR_HOURS),
    }
}

/// The first `max` items joined by commas, then ` + N more...`; "" for none.
pub fn join_with_more<S: AsRef<str>>(items: &[S], max: usize) -> String {
    let shown: Vec<&str> = items.iter().take(max).map(AsRef::as_ref).collect();
    let shown = shown.join(",");
    if items.len() > max { format!("{shown} + {} more...", items.len() - max) } else { shown }
}

/// `text`, or `otherwise` when it is empty.
pub fn or_else(text: &str, otherwise: &str) -> String {
    if text.is_empty() { otherwise } else { text }.to_owned()
}

/// A map of labels as `a=b,c=d` in order of keys; `<none>` for none.
pub fn labels(map: Option<&Map>) -> String {
    let mut pairs: Vec<(&str, &str)> = map
        .into_iter()
        .flat_map(Map::iter)
        .map(|(k, v)| (k.as_str(), v.as_str().unwrap_or_default()))
        .collect();
    pairs.sort_unstable();
    let pairs: Vec<String> = pairs.iter().map(|(k, v)| format!("{k}={v}")).collect();
    or_else(&pairs.join(","), "<none>")
}

/// A `meta/v1 LabelSelector` as text: `<none>` when it selects everything or is missing, `<error>` when it is wrong.
pub fn label_selector(selector: Option<&Value>) -> String {
    match LabelSelector::from_value(selector) {
        Ok(selector) => or_else(&selector.to_string(), "<none>"),
        Err(_) => "<error>".to_owned(),
    }
}

/// Names and images of the containers of a pod's spec, each joined by commas.
pub fn containers(spec: Option<&Value>) -> (String, String) {
    let list = spec.map(|s| s.list_at(&["containers"])).unwrap_or_default();
    let column = |field| list.iter().map(|c| c.str_at(&[field])).collect::<Vec<&str>>().join(",");
    (column("name"), column("image"))
}

/// Unix seconds of an RFC 3339 time; nothing for other texts.
pub fn unix_secs(text: &str) -> Option<i64> {
    api::time::parse(text).ok().map(|time| time.secs)
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::tree;

    #[test]
    fn durations_have_two_or_three_figures() {
        let cases = [
            (-2, "<invalid>"),
            (-1, "0s"),
            (119, "119s"),
            (120, "2m"),
            (183, "3m3s"),
            (600, "10m"),
            (3 * 3600, "3h"),
            (3 * 3600 + 120, "3h2m"),
            (9 * 3600 + 120, "9h"),
            (49 * 3600, "2d1h"),
            (9 * 86400 + 3600, "9d"),
            (365 * 86400 * 3, "3y"),
            (365 * 86400 * 3 + 86400, "3y1d"),
            (365 * 86400 * 9, "9y"),
        ];
        for (secs, text) in cases {
            assert_eq!(human_duration(secs), text);
        }
        assert_eq!(short_human_duration(7300), "2h");
        assert_eq!(short_human_duration(86400 * 400), "1y");
    }

    #[test]
    fn rfc3339_times_become_unix_seconds() {
        assert_eq!(unix_secs("1970-01-01T00:00:00Z"), Some(0));
        assert_eq!(unix_secs("2024-02-29T12:00:01.123456Z"), Some(1_709_208_001));
        assert_eq!(unix_secs("2024-02-29T14:00:01+02:00"), Some(1_709_208_001));
        assert_eq!(unix_secs("soon"), None);
        assert_eq!(since("", 5), "<unknown>");
    }

    #[test]
    fn long_lists_are_cut() {
        assert_eq!(join_with_more(&["a", "b", "c", "d", "e"], 3), "a,b,c + 2 more...");
        assert_eq!(join_with_more(&["a"], 3), "a");
    }

    #[test]
    fn labels_are_sorted_and_selectors_read_as_text() {
        assert_eq!(labels(tree!({"b": "2", "a": "1"}).as_map()), "a=1,b=2");
        assert_eq!(labels(None), "<none>");
        let selector =
            tree!({"matchLabels": {"app": "web"}, "matchExpressions": [{"key": "x", "operator": "Exists"}]});
        assert_eq!(label_selector(Some(&selector)), "app=web,x");
    }
}
