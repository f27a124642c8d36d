//! Certificate authority, issuing, rotation, kubeconfigs and service-account keys.
