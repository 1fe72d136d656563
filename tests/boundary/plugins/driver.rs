//! The calling plugin; it answers `GET /boundary/{side}/{case}` with the cost in nanoseconds.

use axum::Router;
use axum::body::Body as Linked;
use axum::extract::Path;
use axum::routing::get;
use http::StatusCode;
use streamgate_boundary_bench::{call, event, log, target};
use streamgate_plugin_api::{Body, Client, Host, Plugin, StartError, export_plugin};
use tokio::runtime::Handle;
use tokio::task::spawn_blocking;

struct Driver;

impl Plugin for Driver {
    type Settings = ();

    async fn start(host: Host, (): ()) -> Result<Self, StartError> {
        let measuring = host.clone();
        let measure = async move |Path((side, case)): Path<(String, String)>| {
            let host = measuring.clone();
            // On its own thread, so that no other task interferes.
            let cost = spawn_blocking(move || match side.as_str() {
                "static" => linked(&host, &case),
                _ => Handle::current().block_on(crossed(&host, &case)),
            });
            cost.await.ok().flatten().map(|cost| cost.to_string()).ok_or(StatusCode::NOT_FOUND)
        };
        host.serve(Router::new().route("/boundary/{side}/{case}", get(measure)));
        Ok(Self)
    }
}

fn linked(host: &Host, case: &str) -> Option<f64> {
    let runtime = Handle::current();
    Some(match case {
        "event" => runtime.block_on(event::linked(host)),
        "log-on" => log::linked(|| runtime.block_on(log::on())),
        "log-off" => log::linked(|| runtime.block_on(log::off())),
        "tonic" => runtime.block_on(call::tonic(target::router())),
        _ => runtime.block_on(call::measure::<_, Linked, _>(target::router(), case))?,
    })
}

async fn crossed(host: &Host, case: &str) -> Option<f64> {
    let target = host.service("bench");
    let publish = async |event| host.publish(event).await.expect("it is heard");
    let heard = async || drop(ask(&target, "/heard").await);
    Some(match case {
        "event" => event::throughput(publish, heard).await,
        "log-on" | "log-off" | "process" => ask(&target, &format!("/{case}")).await?.parse().ok()?,
        "tonic" => call::tonic(target).await,
        _ => call::measure::<_, Body, _>(target, case).await?,
    })
}

async fn ask(target: &Client, path: &str) -> Option<String> {
    let request = http::Request::get(path).body(Body::empty()).ok()?;
    let answer = target.send(request).await.ok()?.into_body().collect_bytes(1_024).await.ok()?;
    String::from_utf8(answer.to_vec()).ok()
}

export_plugin! {
    Driver {
        name: "bench-driver",
        description: "Measures what calls of bench-target cost",
        requires: ["bench"],
        prefixes: ["/boundary"],
        publishes: ["bench.content.uploaded"],
    }
}
