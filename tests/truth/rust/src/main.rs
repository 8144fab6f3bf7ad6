//! axum and reqwest on tokio's threads: PORT BACKEND DATABASE VARIANT. GET /w/ID makes the variant's calls and answers "ok". With
//! `one-` before the variant everything runs on one thread.
use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::get;
use reqwest::Client;
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::{interval, sleep, timeout};

const TIMER: Duration = Duration::from_millis(5);
const BACKGROUND: Duration = Duration::from_millis(3);
/// Longer than any call takes.
const LIMIT: Duration = Duration::from_secs(10);
/// Calls at a time where a variant limits them.
const AT_A_TIME: usize = 4;
static LIMITED: Semaphore = Semaphore::const_new(AT_A_TIME);

/// A call for one of the tasks that make calls for others: whose it is, and where its answer is waited for.
type Job = (String, oneshot::Sender<reqwest::Result<String>>);

/// What every request shares.
#[derive(Clone)]
struct Service {
    client: Client,
    backend: String,
    variant: String,
    workers: Vec<mpsc::Sender<Job>>,
}

impl Service {
    async fn call(&self, id: &str, number: u32) -> reqwest::Result<String> {
        self.client.get(format!("http://127.0.0.1:{}/b/{id}/{number}", self.backend)).send().await?.text().await
    }

    async fn work(&self, id: &str) -> reqwest::Result<()> {
        match self.variant.as_str() {
            "sequential" => {
                self.call(id, 1).await?;
                self.call(id, 2).await?;
            }
            "parallel" => {
                let (first, second) = tokio::join!(self.call(id, 1), self.call(id, 2));
                first.and(second)?;
            }
            "timer" => {
                sleep(TIMER).await;
                self.call(id, 1).await?;
            }
            "spawn" => {
                let (service, id) = (self.clone(), id.to_owned());
                tokio::spawn(async move { service.call(&id, 1).await }).await.expect("the task ends")?;
            }
            "after" => {
                let (service, id) = (self.clone(), id.to_owned());
                tokio::spawn(async move {
                    sleep(TIMER).await;
                    service.call(&id, 1).await
                });
            }
            "joinset" => {
                let mut calls = JoinSet::new();
                for number in 1..=2 {
                    let (service, id) = (self.clone(), id.to_owned());
                    calls.spawn(async move { service.call(&id, number).await });
                }
                while let Some(call) = calls.join_next().await {
                    call.expect("the task ends")?;
                }
            }
            "select" => {
                tokio::select! {
                    first = self.call(id, 1) => first?,
                    second = self.call(id, 2) => second?,
                };
            }
            "limited" => {
                let _place = LIMITED.acquire().await.expect("it is open");
                timeout(LIMIT, self.call(id, 1)).await.expect("in time")?;
            }
            "actor" => {
                let (answer, answered) = oneshot::channel();
                let worker = id.bytes().map(usize::from).sum::<usize>() % self.workers.len();
                self.workers[worker].send((id.to_owned(), answer)).await.expect("the worker lives");
                answered.await.expect("the worker answers")?;
            }
            _ => drop(self.call(id, 1).await?),
        }
        Ok(())
    }

    /// Calls that no request caused.
    async fn background(self) {
        let mut pause = interval(BACKGROUND);
        for number in 0_u64.. {
            pause.tick().await;
            let _ = self.call(&format!("bg{number}"), 1).await;
        }
    }
}

async fn handle(State(service): State<Service>, Path(id): Path<String>) -> Result<&'static str, (StatusCode, String)> {
    match service.work(&id).await {
        Ok(()) => Ok("ok"),
        Err(error) => Err((StatusCode::INTERNAL_SERVER_ERROR, error.to_string())),
    }
}

async fn serve(port: String, mut service: Service) {
    match service.variant.as_str() {
        "background" => drop(tokio::spawn(service.clone().background())),
        "actor" => {
            for _ in 0..AT_A_TIME {
                let (jobs, mut queue) = mpsc::channel::<Job>(64);
                let worker = service.clone();
                tokio::spawn(async move {
                    while let Some((id, answer)) = queue.recv().await {
                        let _ = answer.send(worker.call(&id, 1).await);
                    }
                });
                service.workers.push(jobs);
            }
        }
        _ => {}
    }
    let listener = tokio::net::TcpListener::bind(format!("127.0.0.1:{port}")).await.expect("a port");
    let app = Router::new().route("/w/{id}", get(handle)).with_state(service);
    axum::serve(listener, app).await.expect("it serves");
}

fn main() {
    let mut args = std::env::args().skip(1);
    let mut next = || args.next().expect("PORT BACKEND DATABASE VARIANT");
    let (port, backend, _redis, variant) = (next(), next(), next(), next());
    let one = variant.strip_prefix("one-").map(str::to_owned);
    let mut builder = if one.is_some() { Builder::new_current_thread() } else { Builder::new_multi_thread() };
    let runtime: Runtime = builder.worker_threads(2).enable_all().build().expect("a runtime");
    let service = Service { client: Client::new(), backend, variant: one.unwrap_or(variant), workers: Vec::new() };
    runtime.block_on(serve(port, service));
}
