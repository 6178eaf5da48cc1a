//! What Pingora asks of a connection besides its bytes, answered by the stream below it.

/// Answers for a type by its field `stream`. Nothing can be peeked at: what is below has been
/// read from already. Who wants to know when it is asked for the proxy that it goes through
/// gives a function that answers that.
macro_rules! ask_the_stream {
    ($connection:ty) => {
        $crate::transport::ask_the_stream!($connection, |connection: &$connection| {
            connection.stream.get_proxy_digest()
        });
    };
    ($connection:ty, $proxy_digest:expr) => {
        impl pingora_core::protocols::Peek for $connection {}

        #[async_trait::async_trait]
        impl pingora_core::protocols::Shutdown for $connection {
            async fn shutdown(&mut self) {
                self.stream.shutdown().await;
            }
        }

        impl pingora_core::protocols::UniqueID for $connection {
            fn id(&self) -> pingora_core::protocols::UniqueIDType {
                self.stream.id()
            }
        }

        impl pingora_core::protocols::Ssl for $connection {
            fn get_ssl(&self) -> Option<&pingora_core::protocols::tls::TlsRef> {
                self.stream.get_ssl()
            }

            fn get_ssl_digest(
                &self,
            ) -> Option<std::sync::Arc<pingora_core::protocols::tls::SslDigest>> {
                self.stream.get_ssl_digest()
            }

            fn selected_alpn_proto(&self) -> Option<pingora_core::protocols::ALPN> {
                self.stream.selected_alpn_proto()
            }
        }

        impl pingora_core::protocols::GetTimingDigest for $connection {
            fn get_timing_digest(&self) -> Vec<Option<pingora_core::protocols::TimingDigest>> {
                self.stream.get_timing_digest()
            }

            fn get_read_pending_time(&self) -> std::time::Duration {
                self.stream.get_read_pending_time()
            }

            fn get_write_pending_time(&self) -> std::time::Duration {
                self.stream.get_write_pending_time()
            }
        }

        impl pingora_core::protocols::GetProxyDigest for $connection {
            fn get_proxy_digest(
                &self,
            ) -> Option<std::sync::Arc<pingora_core::protocols::raw_connect::ProxyDigest>> {
                ($proxy_digest)(self)
            }
        }

        impl pingora_core::protocols::GetSocketDigest for $connection {
            fn get_socket_digest(
                &self,
            ) -> Option<std::sync::Arc<pingora_core::protocols::SocketDigest>> {
                self.stream.get_socket_digest()
            }
        }
    };
}

pub(crate) use ask_the_stream;
