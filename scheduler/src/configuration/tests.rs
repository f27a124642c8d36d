//! Files, and what is said of them.

use super::*;

const HEAD: &str = "apiVersion: kubescheduler.config.k8s.io/v1\nkind: KubeSchedulerConfiguration\n";

fn parse(rest: &str) -> Result<Configuration, String> {
    Configuration::parse(format!("{HEAD}{rest}").as_bytes())
}

fn refused(rest: &str) -> String {
    parse(rest).err().unwrap_or_default()
}

#[test]
fn an_empty_file_is_the_usual_configuration() {
    let configuration = parse("").unwrap();
    assert_eq!(configuration.profiles.len(), 1);
    let usual = configuration.profile("default-scheduler").unwrap();
    assert_eq!((usual.scores.len(), usual.percentage), (Profile::default().scores.len(), None));
}

#[test]
fn profiles_have_their_own_plugins_weights_and_settings() {
    let text = "
parallelism: 4
percentageOfNodesToScore: 30
podInitialBackoffSeconds: 2
podMaxBackoffSeconds: 20
leaderElection: {leaderElect: false}
profiles:
- schedulerName: default-scheduler
- schedulerName: packing
  percentageOfNodesToScore: 100
  plugins:
    score:
      disabled: [{name: NodeResourcesBalancedAllocation}]
      enabled: [{name: NodeResourcesFit, weight: 5}]
    multiPoint: {disabled: [{name: ImageLocality}]}
  pluginConfig:
  - name: NodeResourcesFit
    args:
      apiVersion: kubescheduler.config.k8s.io/v1
      kind: NodeResourcesFitArgs
      scoringStrategy: {type: MostAllocated, resources: [{name: cpu, weight: 3}, {name: memory}]}
  - {name: InterPodAffinity, args: {hardPodAffinityWeight: 7}}
  - {name: VolumeBinding, args: {bindTimeoutSeconds: 5}}
  - name: PodTopologySpread
    args:
      defaultingType: List
      defaultConstraints: [{maxSkew: 1, topologyKey: zone, whenUnsatisfiable: DoNotSchedule}]
";
    let configuration = parse(text).unwrap();
    assert_eq!(configuration.first_backoff, Duration::from_secs(2));
    let packing = configuration.profile("packing").unwrap();
    let weights: Vec<(&str, i64)> = packing.scores.iter().map(|(p, weight)| (p.name(), *weight)).collect();
    assert_eq!(weights[0], ("NodeResourcesFit", 5));
    assert!(
        !weights.iter().any(|(name, _)| ["ImageLocality", "NodeResourcesBalancedAllocation"].contains(name))
    );
    assert_eq!((packing.percentage, packing.bind_timeout), (Some(100), Duration::from_secs(5)));
    assert_eq!(configuration.profile("default-scheduler").unwrap().percentage, Some(30));
    assert!(configuration.profile("other").is_none());
}

#[test]
fn what_is_unknown_is_refused() {
    assert_eq!(refused("profile: []"), "strict decoding error: unknown field \"profile\"");
    assert_eq!(
        refused("profiles: [{plugins: {score: {enabled: [{name: Mine}]}}}]"),
        "creating profile profiles[0]: plugin \"Mine\" does not exist"
    );
    assert_eq!(
        refused("profiles: [{pluginConfig: [{name: Mine, args: {}}]}]"),
        "profiles[0].pluginConfig[0].name: Not found: \"Mine\""
    );
    assert_eq!(
        refused("profiles: [{pluginConfig: [{name: NodeAffinity, args: {added: 1}}]}]"),
        "creating profile profiles[0]: decoding profiles[0].pluginConfig[0]: decoding args for plugin NodeAffinity: \
         strict decoding error: unknown field \"added\""
    );
    let other = Configuration::parse(
        b"apiVersion: kubescheduler.config.k8s.io/v1beta3\nkind: KubeSchedulerConfiguration",
    );
    assert!(
        other.err().unwrap_or_default().starts_with("no kind \"KubeSchedulerConfiguration\" is registered")
    );
}

#[test]
fn what_is_out_of_range_is_refused() {
    let args = |plugin: &str, args: &str| {
        refused(&format!("profiles: [{{pluginConfig: [{{name: {plugin}, args: {args}}}]}}]"))
    };
    let path = "profiles[0].pluginConfig[0].args";
    assert_eq!(
        refused("parallelism: 0"),
        "parallelism: Invalid value: 0: should be an integer value greater than zero"
    );
    assert_eq!(
        refused("percentageOfNodesToScore: 101"),
        "percentageOfNodesToScore: Invalid value: 101: not in valid range [0-100]"
    );
    assert_eq!(
        refused("podInitialBackoffSeconds: 30"),
        "podMaxBackoffSeconds: Invalid value: 10: must be greater than or equal to PodInitialBackoffSeconds"
    );
    assert_eq!(
        refused("profiles: [{schedulerName: a}, {schedulerName: a}]"),
        "profiles[1].schedulerName: Duplicate value: \"profiles[0].schedulerName\""
    );
    assert_eq!(refused("profiles: [{schedulerName: a}, {}]"), "profiles[1].schedulerName: Required value");
    assert_eq!(
        args("InterPodAffinity", "{hardPodAffinityWeight: 101}"),
        format!("{path}.hardPodAffinityWeight: Invalid value: 101: not in valid range [0, 100]")
    );
    assert_eq!(
        args("NodeResourcesFit", "{scoringStrategy: {type: Most}}"),
        format!(
            "{path}.scoringStrategy.type: Unsupported value: \"Most\": supported values: \"LeastAllocated\", \
             \"MostAllocated\", \"RequestedToCapacityRatio\""
        )
    );
    assert_eq!(
        args("NodeResourcesFit", "{scoringStrategy: {type: RequestedToCapacityRatio}}"),
        format!(
            "{path}.scoringStrategy.requestedToCapacityRatio: Required value: must be specified when type is \
             RequestedToCapacityRatio"
        )
    );
    assert!(
        args(
            "PodTopologySpread",
            "{defaultConstraints: [{maxSkew: 0, topologyKey: z, whenUnsatisfiable: ScheduleAnyway}]}"
        )
        .contains("when .defaultConstraints are not empty")
    );
}
