//! Processes in running containers, by containerd's own tasks: what a stream needs that the CRI does not give.

use super::Runtime;
use api::{Value, json};
use containerd_client::services::v1::containers_client::ContainersClient;
use containerd_client::services::v1::tasks_client::TasksClient;
use containerd_client::services::v1::{
    CloseIoRequest, DeleteProcessRequest, ExecProcessRequest, GetContainerRequest, GetRequest, KillRequest,
    ResizePtyRequest, StartRequest, WaitRequest,
};
use containerd_client::types::v1::Status as State;
use prost_types::Any;
use std::path::Path;
use tonic::Status;
use tonic::transport::Channel;

const PROCESS_TYPE: &str = "types.containerd.io/opencontainers/runtime-spec/1/Process";

/// The fifos of a process; a terminal has no stderr.
pub struct Stdio<'a> {
    pub stdin: Option<&'a Path>,
    pub stdout: Option<&'a Path>,
    pub stderr: Option<&'a Path>,
    pub terminal: bool,
}

impl Runtime {
    /// The process that a container runs, as the OCI runtime was told it.
    pub async fn process_spec(&self, container_id: &str) -> Result<Value, Status> {
        let request = Runtime::within(GetContainerRequest { id: container_id.to_owned() });
        let container = ContainersClient::new(self.channel()).get(request).await?.into_inner().container;
        let spec = container.and_then(|container| container.spec).unwrap_or_default();
        let mut spec = json::parse(&spec.value).map_err(|why| Status::internal(why.to_string()))?;
        spec.get_mut("process")
            .map(Value::take)
            .ok_or_else(|| Status::internal("the container runs no process"))
    }

    /// The first process of a running container, as seen from outside; None: it does not run.
    pub async fn pid(&self, container_id: &str) -> Result<Option<u32>, Status> {
        let request = GetRequest { container_id: container_id.to_owned(), exec_id: String::new() };
        match TasksClient::new(self.channel()).get(Runtime::within(request)).await {
            Ok(task) => {
                let running = task.into_inner().process.filter(|task| task.status() == State::Running);
                Ok(running.map(|task| task.pid))
            }
            Err(none) if none.code() == tonic::Code::NotFound => Ok(None),
            Err(why) => Err(why),
        }
    }
}

/// A process that was added to a container.
#[derive(Clone)]
pub struct Process {
    tasks: TasksClient<Channel>,
    container_id: String,
    exec_id: String,
}

impl Process {
    pub fn of(runtime: &Runtime, container_id: &str, exec_id: &str) -> Self {
        let tasks = TasksClient::new(runtime.channel());
        Process { tasks, container_id: container_id.to_owned(), exec_id: exec_id.to_owned() }
    }

    /// Makes it; it does not run yet. `spec` is the OCI runtime's.
    pub async fn create(&mut self, spec: &Value, stdio: &Stdio<'_>) -> Result<(), Status> {
        let path =
            |path: Option<&Path>| path.map(|path| path.to_string_lossy().into_owned()).unwrap_or_default();
        let request = ExecProcessRequest {
            container_id: self.container_id.clone(),
            exec_id: self.exec_id.clone(),
            stdin: path(stdio.stdin),
            stdout: path(stdio.stdout),
            stderr: path(stdio.stderr),
            terminal: stdio.terminal,
            spec: Some(Any { type_url: PROCESS_TYPE.to_owned(), value: json::to_vec(spec) }),
        };
        self.tasks.exec(Runtime::within(request)).await.map(drop)
    }

    pub async fn start(&mut self) -> Result<(), Status> {
        let request = StartRequest { container_id: self.container_id.clone(), exec_id: self.exec_id.clone() };
        self.tasks.start(Runtime::within(request)).await.map(drop)
    }

    /// Waits until it ends; gives its exit code.
    pub async fn wait(&mut self) -> Result<u32, Status> {
        let request = WaitRequest { container_id: self.container_id.clone(), exec_id: self.exec_id.clone() };
        Ok(self.tasks.wait(Runtime::within(request)).await?.into_inner().exit_status)
    }

    pub async fn resize(&mut self, width: u16, height: u16) -> Result<(), Status> {
        let request = ResizePtyRequest {
            container_id: self.container_id.clone(),
            exec_id: self.exec_id.clone(),
            width: width.into(),
            height: height.into(),
        };
        self.tasks.resize_pty(Runtime::within(request)).await.map(drop)
    }

    /// Nothing more comes on its stdin.
    pub async fn close_stdin(&mut self) -> Result<(), Status> {
        let request = CloseIoRequest {
            container_id: self.container_id.clone(),
            exec_id: self.exec_id.clone(),
            stdin: true,
        };
        self.tasks.close_io(Runtime::within(request)).await.map(drop)
    }

    pub async fn kill(&mut self, signal: u32) -> Result<(), Status> {
        let request = KillRequest {
            container_id: self.container_id.clone(),
            exec_id: self.exec_id.clone(),
            signal,
            all: false,
        };
        self.tasks.kill(Runtime::within(request)).await.map(drop)
    }

    /// Forgets it once it has ended.
    pub async fn delete(&mut self) -> Result<(), Status> {
        let request =
            DeleteProcessRequest { container_id: self.container_id.clone(), exec_id: self.exec_id.clone() };
        self.tasks.delete_process(Runtime::within(request)).await.map(drop)
    }
}
