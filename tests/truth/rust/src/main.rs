//! axum and reqwest on tokio's threads: PORT BACKEND DATABASE VARIANT. GET /w/ID makes the variant's calls and answers "ok".
use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::get;
use reqwest::Client;
use std::time::Duration;
use tokio::time::{interval, sleep};

const TIMER: Duration = Duration::from_millis(5);
const BACKGROUND: Duration = Duration::from_millis(3);

/// What every request shares.
#[derive(Clone)]
struct Service {
    client: Client,
    backend: String,
    variant: String,
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

#[tokio::main(worker_threads = 2)]
async fn main() {
    let mut args = std::env::args().skip(1);
    let mut next = || args.next().expect("PORT BACKEND DATABASE VARIANT");
    let (port, backend, _redis, variant) = (next(), next(), next(), next());
    let service = Service { client: Client::new(), backend, variant };
    if service.variant == "background" {
        tokio::spawn(service.clone().background());
    }
    let listener = tokio::net::TcpListener::bind(format!("127.0.0.1:{port}")).await.expect("a port");
    let app = Router::new().route("/w/{id}", get(handle)).with_state(service);
    axum::serve(listener, app).await.expect("it serves");
}
