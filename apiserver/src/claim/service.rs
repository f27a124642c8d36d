//! What Services claim: cluster IPs, node ports, a port for health checks.
//! Source: upstream's `pkg/registry/core/service/storage`.

use super::node_port::Ports;
use super::{Claims, address_family, cluster_ip};
use crate::call::Call;
use api::{Status, Value};
use store::Key;

pub async fn make(
    call: &Call,
    new: &mut Value,
    old: Option<&Value>,
    dry_run: bool,
    claims: &mut Claims,
) -> Result<(), Status> {
    if let Some(old) = old {
        address_family::keep_allocated(new, old);
    }
    address_family::pair_cluster_ips(new, old);
    address_family::settle(new, old).map_err(|faults| invalid(new, &faults))?;
    match old {
        None => cluster_ip::claim(call, new, dry_run, claims).await?,
        Some(old) => cluster_ip::change(call, new, old, dry_run, claims).await?,
    }
    let mut ports = Ports::new(call, dry_run);
    match old {
        None => ports.claim(new).await?,
        Some(old) => ports.change(new, old).await?,
    }
    ports.join(new, claims);
    Ok(())
}

/// 422 about a Service.
pub(super) fn invalid(service: &Value, faults: &[api::Fault]) -> Status {
    Status::invalid("", "Service", Call::name_of(service), faults)
}

/// Gives back addresses and ports; the Endpoints of the same name go with their Service.
pub async fn release(call: &Call, old: &Value, claims: &mut Claims) {
    cluster_ip::release(call, old, claims).await;
    let mut ports = Ports::new(call, false);
    ports.release(old);
    ports.join(old, claims);
    if let Some(kind) = call.server.registry().find("", "endpoints") {
        let rest = crate::call::rest(kind.info(), call.namespace(), Call::name_of(old));
        claims.give_back(Key::new(&call.server.space(&**kind), rest));
    }
}
