//! Writes the descriptions of the API's types and fields into `OUT_DIR`, from the schemas of the `k8s-openapi` crate,
//! so that the repository holds facts only.
//!
//! One compressed package for each API group and version (`io.k8s.api.core.v1`), and `packages.rs`, the list of them.
//! A package holds its definitions separated by `\x1e`; a definition is its name, its own description, then name and
//! description of each field, all separated by `\x1f`. And `fingerprint`, which changes with whatever documents are
//! made from at build time.

use flate2::{Compression, write::DeflateEncoder};
use k8s_openapi::schemars::{JsonSchema, SchemaGenerator};
use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};

type Failure = Box<dyn std::error::Error>;

/// The schema table that definitions are made from.
const TABLE: &str = "../api/src/schema/table.tsv";
const FNV_OFFSET: u64 = 0xcbf2_9ce4_8422_2325;

fn main() -> Result<(), Failure> {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=src");
    println!("cargo:rerun-if-changed={TABLE}");
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    let mut packages: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, text) in definitions() {
        let package = name.rsplit_once('.').map_or("", |(package, _)| package).to_owned();
        packages.entry(package).or_default().push(text);
    }
    let mut print = FNV_OFFSET;
    let mut list = String::from("[\n");
    for (package, definitions) in packages {
        let file = out.join(format!("{package}.deflate"));
        let text = definitions.join("\x1e");
        print = hash(print, text.as_bytes());
        std::fs::write(&file, compress(&text)?)?;
        list += &format!("    ({package:?}, include_bytes!({})),\n", quoted(&file));
    }
    list.push(']');
    std::fs::write(out.join("packages.rs"), list)?;
    for file in sources(Path::new("src"))?.into_iter().chain([PathBuf::from(TABLE)]) {
        print = hash(print, &std::fs::read(file)?);
    }
    std::fs::write(out.join("fingerprint"), format!("{print:016x}"))?;
    Ok(())
}

/// The files of a folder and those below it, sorted.
fn sources(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() { files.extend(sources(&path)?) } else { files.push(path) }
    }
    files.sort();
    Ok(files)
}

/// FNV-1a, continued.
fn hash(start: u64, bytes: &[u8]) -> u64 {
    bytes.iter().fold(start, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

fn quoted(file: &Path) -> String {
    format!("{:?}", file.display().to_string())
}

fn compress(text: &str) -> Result<Vec<u8>, Failure> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(text.as_bytes())?;
    Ok(encoder.finish()?)
}

/// Every definition that the served kinds lead to: its name and what the package says of it.
fn definitions() -> Vec<(String, String)> {
    let mut generator = SchemaGenerator::default();
    kinds(&mut generator);
    workloads(&mut generator);
    access(&mut generator);
    machinery(&mut generator);
    let described = generator.definitions().iter().map(|(name, schema)| {
        let text = |part: &str| part.replace(['\x1e', '\x1f'], " ");
        let mut parts = vec![name.clone(), text(schema["description"].as_str().unwrap_or_default())];
        for (field, schema) in schema["properties"].as_object().into_iter().flatten() {
            parts.push(field.clone());
            parts.push(text(schema["description"].as_str().unwrap_or_default()));
        }
        (name.clone(), parts.join("\x1f"))
    });
    described.collect()
}

/// Makes the generator define a type and all it refers to.
fn define<T: JsonSchema>(generator: &mut SchemaGenerator) {
    generator.subschema_for::<T>();
}

macro_rules! define {
    ($generator:expr, $($module:ident)::+: $($name:ident),+ $(,)?) => {{
        use k8s_openapi::$($module)::+ as types;
        $(define::<types::$name>($generator);)+
    }};
}

fn kinds(g: &mut SchemaGenerator) {
    define!(g, api::core::v1: Binding, ComponentStatus, ConfigMap, Endpoints, Event, LimitRange, Namespace, Node);
    define!(g, api::core::v1: PersistentVolume, PersistentVolumeClaim, Pod, PodTemplate, ReplicationController);
    define!(g, api::core::v1: ResourceQuota, Secret, Service, ServiceAccount);
    define!(g, api::coordination::v1: Lease);
    define!(g, api::discovery::v1: EndpointSlice);
    define!(g, api::events::v1: Event);
    define!(g, api::networking::v1: IPAddress, Ingress, IngressClass, NetworkPolicy, ServiceCIDR);
    define!(g, api::node::v1: RuntimeClass);
    define!(g, api::scheduling::v1: PriorityClass);
    define!(g, api::storage::v1: CSIDriver, CSINode, CSIStorageCapacity, StorageClass, VolumeAttachment);
    define!(g, api::storage::v1: VolumeAttributesClass);
}

fn workloads(g: &mut SchemaGenerator) {
    define!(g, api::apps::v1: ControllerRevision, DaemonSet, Deployment, ReplicaSet, StatefulSet);
    define!(g, api::autoscaling::v1: HorizontalPodAutoscaler, Scale);
    define!(g, api::autoscaling::v2: HorizontalPodAutoscaler);
    define!(g, api::batch::v1: CronJob, Job);
    define!(g, api::policy::v1: Eviction, PodDisruptionBudget);
    define!(g, api::resource::v1: DeviceClass, ResourceClaim, ResourceClaimTemplate, ResourceSlice);
}

fn access(g: &mut SchemaGenerator) {
    define!(g, api::admissionregistration::v1: MutatingAdmissionPolicy, MutatingAdmissionPolicyBinding);
    define!(g, api::admissionregistration::v1: MutatingWebhookConfiguration, ValidatingAdmissionPolicy);
    define!(g, api::admissionregistration::v1: ValidatingAdmissionPolicyBinding, ValidatingWebhookConfiguration);
    define!(g, api::authentication::v1: SelfSubjectReview, TokenRequest, TokenReview);
    define!(g, api::authorization::v1: LocalSubjectAccessReview, SelfSubjectAccessReview, SelfSubjectRulesReview);
    define!(g, api::authorization::v1: SubjectAccessReview);
    define!(g, api::certificates::v1: CertificateSigningRequest);
    define!(g, api::flowcontrol::v1: FlowSchema, PriorityLevelConfiguration);
    define!(g, api::rbac::v1: ClusterRole, ClusterRoleBinding, Role, RoleBinding);
}

fn machinery(g: &mut SchemaGenerator) {
    define!(g, apiextensions_apiserver::pkg::apis::apiextensions::v1: CustomResourceDefinition);
    define!(g, kube_aggregator::pkg::apis::apiregistration::v1: APIService);
    define!(g, apimachinery::pkg::apis::meta::v1: APIGroup, APIGroupList, APIResourceList, APIVersions, Status);
    define!(g, apimachinery::pkg::apis::meta::v1: DeleteOptions, ListMeta, MicroTime, Patch);
    use k8s_openapi::apimachinery::pkg::{apis::meta::v1::WatchEvent, runtime::RawExtension};
    define::<WatchEvent<RawExtension>>(g);
    define!(g, apimachinery::pkg::version: Info);
}
