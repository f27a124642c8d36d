//! What happens to containers, as containerd tells it: that one ended.

use super::{NAMESPACE, Runtime};
use containerd_client::events::TaskExit;
use containerd_client::services::v1::events_client::EventsClient;
use containerd_client::services::v1::{PublishRequest, SubscribeRequest};
use containerd_client::tonic::{Status, Streaming};
use containerd_client::types::Envelope;
use prost_types::Any;
use std::time::Duration;
use stdx::{Backoff, Ids};

/// Told to ourselves, to know when the others will be told as well.
const HEARD: &str = "/pintle/heard";
const EXIT: &str = "/tasks/exit";
const ASK_AGAIN: Duration = Duration::from_millis(50);
const FIRST_DELAY: Duration = Duration::from_millis(100);
const LONGEST_DELAY: Duration = Duration::from_secs(5);

/// What a listener is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Happened {
    /// From now on nothing is missed; before, anything may have been.
    Listening,
    /// The first process of the container or sandbox with this id ended.
    Exited(String),
}

/// Listens until the runtime ends, again whenever containerd comes back.
pub async fn follow(runtime: Runtime, tell: impl Fn(Happened) + Send) {
    let mut backoff = Backoff::new(FIRST_DELAY, LONGEST_DELAY);
    loop {
        if let Err(status) = listen(&runtime, &tell, &mut backoff).await {
            tracing::debug!(%status, "events of containerd ended");
        }
        tokio::time::sleep(backoff.next_delay(&Ids::system())).await;
    }
}

async fn listen(runtime: &Runtime, tell: &impl Fn(Happened), backoff: &mut Backoff) -> Result<(), Status> {
    let mut events = subscribe(runtime).await?;
    backoff.reset();
    tell(Happened::Listening);
    while let Some(envelope) = events.message().await? {
        if let Some(happened) = read(&envelope) {
            tell(happened);
        }
    }
    Ok(())
}

/// containerd answers with the first event only, so one is caused until it is heard.
async fn subscribe(runtime: &Runtime) -> Result<Streaming<Envelope>, Status> {
    let mut client = EventsClient::new(runtime.channel());
    let filters = [EXIT, HEARD].map(|topic| format!("topic==\"{topic}\",namespace=={NAMESPACE}"));
    let answer = {
        let mut client = client.clone();
        async move { client.subscribe(SubscribeRequest { filters: filters.to_vec() }).await }
    };
    let ask = async {
        loop {
            tokio::time::sleep(ASK_AGAIN).await;
            let event = Any { type_url: "pintle.Heard".to_owned(), value: Vec::new() };
            let request = PublishRequest { topic: HEARD.to_owned(), event: Some(event) };
            if let Err(status) = client.publish(Runtime::within(request)).await {
                return status;
            }
        }
    };
    tokio::select! {
        answer = answer => answer.map(tonic::Response::into_inner),
        status = ask => Err(status),
    }
}

/// That a container's first process ended; others have ids of their own.
fn read(envelope: &Envelope) -> Option<Happened> {
    let event = envelope.event.as_ref().filter(|_| envelope.topic == EXIT)?;
    let name = event.type_url.rsplit('/').next().unwrap_or_default();
    let exit: TaskExit = Any { type_url: format!("/{name}"), value: event.value.clone() }.to_msg().ok()?;
    (exit.id == exit.container_id).then_some(Happened::Exited(exit.container_id))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(topic: &str, exit: &TaskExit) -> Option<Happened> {
        let mut event = Any::from_msg(exit).unwrap();
        // containerd writes the name alone.
        event.type_url = event.type_url.trim_start_matches('/').to_owned();
        read(&Envelope { topic: topic.to_owned(), event: Some(event), ..Envelope::default() })
    }

    #[test]
    fn only_the_end_of_a_containers_first_process_is_told() {
        let exit =
            |id: &str| TaskExit { container_id: "c".to_owned(), id: id.to_owned(), ..TaskExit::default() };
        assert_eq!(told(EXIT, &exit("c")), Some(Happened::Exited("c".to_owned())));
        assert_eq!(told(EXIT, &exit("exec")), None);
        assert_eq!(told(HEARD, &exit("c")), None);
        assert_eq!(read(&Envelope { topic: EXIT.to_owned(), ..Envelope::default() }), None);
    }
}
