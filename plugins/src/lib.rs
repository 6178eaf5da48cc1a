//! The roles that a plugin can fill, the chain, the built-in plugins and the route
//! table.
//!
//! This crate knows no socket, no clock and no source of randomness: a plugin sees
//! heads, pieces of bodies and facts about the [`Exchange`], and answers with a
//! [`Verdict`] and with [`HeaderEdits`]. The engine moves the bytes, calls the roles
//! and writes what they decided. So a plugin is tested by building a request head,
//! nothing more.
//!
//! A [`RouteTable`] is built from a configuration. A request finds its [`Route`] in
//! it, passes the route's [`Chain`], and is sent where the route's
//! [`Router`](role::Router) says:
//!
//! ```
//! use std::time::Duration;
//! use penstock_plugins::{Arrival, Dialect, Exchange, Found, RouteTable, Shared, build::Given};
//!
//! let config = serde_json::from_str(
//!     r#"{
//!         "upstreams": { "vllm": { "endpoints": ["127.0.0.1:8000"] } },
//!         "chain": [{ "request_id": {} }],
//!         "routes": [{ "name": "chat", "split": [{ "upstream": "vllm" }] }]
//!     }"#,
//! )?;
//! let table = RouteTable::new(&config, &Shared::default(), &Given::default())
//!     .map_err(|errors| format!("{errors:?}"))?;
//!
//! let (head, ()) = http::Request::post("/v1/chat/completions").body(())?.into_parts();
//! let arrival = Arrival {
//!     id: 42,
//!     client: None,
//!     generation: 1,
//!     at: Duration::ZERO,
//!     dialect: Dialect::of(head.uri.path()),
//! };
//! let mut exchange = Exchange::new(arrival);
//! table.global().authenticate(&mut exchange, &head).map_err(|refusal| refusal.to_string())?;
//! let Found::Route(route) = table.find(&head, exchange.client()) else { panic!("the route matches everything") };
//! exchange.enter(route);
//! route.chain().authenticate(&mut exchange, &head).map_err(|refusal| refusal.to_string())?;
//! route.chain().request(&mut exchange, &head).map_err(|refusal| refusal.to_string())?;
//! assert_eq!(route.router().target(&exchange, &head).upstream.0, 0);
//! assert_eq!(exchange.notes().len(), 1);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # How to write a plugin
//!
//! [`request_id`] is the example to read beside this. A plugin called `greeting`
//! takes four steps; the compiler asks for whichever is missing.
//!
//! 1. **What the operator writes** is a type in `penstock_config::plugin`, of values
//!    that cannot be wrong, and a variant of [`Plugin`](penstock_config::Plugin) with
//!    an arm in its `name`.
//!    Defaults, units and limits stand in its documentation, which becomes the schema:
//!
//!    ```ignore
//!    pub enum Plugin {
//!        RequestId(RequestId),
//!        Greeting(Greeting),
//!    }
//!    ```
//!
//! 2. **What it does** is a module here of the same name. It fills the [`role`]s that
//!    it needs, and no other:
//!
//!    ```
//!    use http::{HeaderValue, header, request};
//!    use penstock_plugins::role::RequestFilter;
//!    use penstock_plugins::{Exchange, Verdict};
//!
//!    /// Tells the client who answered.
//!    struct Greeting {
//!        value: HeaderValue,
//!    }
//!
//!    impl RequestFilter for Greeting {
//!        fn request(&self, exchange: &mut Exchange, _: &request::Parts) -> Verdict {
//!            exchange.response.set(header::SERVER, self.value.clone());
//!            Ok(())
//!        }
//!    }
//!    ```
//!
//! 3. **How the one becomes the other** is an arm in `ChainBuilder::build_plugin`, the
//!    only list of plugins. Without it the new variant does not compile:
//!
//!    ```ignore
//!    Plugin::Greeting(config) => Parts {
//!        request: Some(Arc::new(Greeting::new(config))),
//!        ..Parts::default()
//!    },
//!    ```
//!
//!    An object that fills several roles is put into several fields of [`Parts`]. What
//!    it learns in one role it leaves for another in a [`Slot`], claimed here by
//!    [`ChainBuilder::slot`]; what it learns from a streaming answer, its
//!    [`BodyReader`](role::BodyReader) keeps.
//!
//! 4. **That it works** is a test beside the module: build a head, call the role, look
//!    at the verdict and at the exchange.
//!
//! What a plugin reads while it is built, such as a file of keys, it asks of the
//! [`Materials`](build::Materials); if something is wrong with that, its constructor says
//! so with a [`PluginError`](build::PluginError), and the configuration is not put in
//! force. What must outlive a reload, such as counters, is not the plugin's own, since
//! each generation of the configuration builds its plugins anew: it is kept in
//! [`Shared`].
//!
//! A plugin that acts on the request's body fills [`BodyFilter`](role::BodyFilter) and
//! finds what it needs in the [`Facts`]; a field that it acts on and that is not there
//! yet is added to the scan, where a second or misspelled one is refused, and not looked
//! for by itself.
#![forbid(unsafe_code)]

pub mod affinity;
pub mod authenticate;
pub mod authorize;
pub mod balance;
pub mod build;
pub mod cache;
pub mod chain;
pub mod deployment;
pub mod dialect;
pub mod edit;
pub mod ending;
pub mod exchange;
pub mod facts;
pub mod geoip;
pub mod headers;
pub mod identity;
pub mod json;
pub mod jwt;
mod lanes;
pub mod limits;
pub mod media_type;
pub mod networks;
pub mod preamble;
pub mod refusal;
pub mod request_id;
pub mod role;
pub mod router;
pub mod routes;
pub mod shared;
pub mod slot;
pub mod split;
pub mod usage;
pub mod waf;

pub use chain::{Chain, ChainBuilder, Parts, Readers};
pub use deployment::Deployment;
pub use dialect::Dialect;
pub use edit::{BodyEdit, BodyEdits, Edit, HeaderEdits};
pub use ending::{Ending, Outcome};
pub use exchange::{Arrival, Exchange, Note};
pub use facts::Facts;
pub use identity::{Globs, Identity};
pub use refusal::{Kind, Refusal};
pub use role::Verdict;
pub use router::{Target, UpstreamId};
pub use routes::{Found, Route, RouteTable};
pub use shared::Shared;
pub use slot::Slot;
pub use split::Distribution;
