//! The flags that limit what clients may use: counts, sizes and times.

use std::num::NonZeroUsize;

use clap::Args;

use super::units::{TimeoutArg, count, message_size, size, timeout};
use crate::{
    config::{Config, Timeouts},
    registry::StoreLimits,
};

/// Limits and time-outs. Their defaults are those of [`Config::on_free_ports`], as a test checks.
#[derive(Debug, Args)]
#[command(next_help_heading = "Limits")]
pub(super) struct LimitArgs {
    /// The most connections at once; further clients are told that the server is full [default: as many as the limit on
    /// open files allows]
    #[arg(long, value_name = "COUNT", value_parser = count)]
    max_connections: Option<NonZeroUsize>,

    /// The most connections at once from one IPv4 address or one IPv6 /64; further clients are told that the server is
    /// full [default: no limit]
    #[arg(long, value_name = "COUNT", value_parser = count)]
    max_connections_per_ip: Option<NonZeroUsize>,

    /// The most managers at once; further upgrades are refused [default: no limit]
    #[arg(long, value_name = "COUNT", value_parser = count)]
    max_managers: Option<NonZeroUsize>,

    /// The longest message; a client that sends a longer one is told so and disconnected
    #[arg(long, value_name = "SIZE", value_parser = message_size, default_value = "64KiB")]
    message_max: usize,

    /// The most keys of one user; a put of another key is refused
    #[arg(long, value_name = "COUNT", value_parser = count, default_value = "1000000")]
    max_keys: NonZeroUsize,

    /// The most bytes of one user's keys and values; a put that exceeds it is refused
    #[arg(long, value_name = "SIZE", value_parser = size, default_value = "64MiB")]
    max_user_bytes: usize,

    /// The most bytes of all users' keys and values; each entry counts 96 bytes more, about what it costs
    #[arg(long, value_name = "SIZE", value_parser = size, default_value = "1GiB")]
    max_total_bytes: usize,

    /// The most bytes that wait unsent for one client, besides 128 KiB in the kernel; beyond it the server stops
    /// reading from that client
    #[arg(long, value_name = "SIZE", value_parser = size, default_value = "256KiB")]
    max_unsent: usize,

    /// How long a client may take to log in, or `off`
    #[arg(
        long, value_name = "DURATION", value_parser = timeout, default_value = "30s",
        help_heading = "Time-outs"
    )]
    login_timeout: TimeoutArg,

    /// How long a session may go without a request, or `off`
    #[arg(
        long, value_name = "DURATION", value_parser = timeout, default_value = "off",
        help_heading = "Time-outs"
    )]
    idle_timeout: TimeoutArg,

    /// How long a client may take none of its waiting replies before it is disconnected, or `off`
    #[arg(
        long, value_name = "DURATION", value_parser = timeout, default_value = "1m",
        help_heading = "Time-outs"
    )]
    unsent_timeout: TimeoutArg,

    /// How long a WebSocket may be silent before it is pinged, and as long again before it is disconnected, or `off`
    #[arg(
        long, value_name = "DURATION", value_parser = timeout, default_value = "30s",
        help_heading = "Time-outs"
    )]
    ping_interval: TimeoutArg,
}

impl LimitArgs {
    /// Writes the limits into `config`.
    pub(super) fn apply(&self, config: &mut Config) {
        config.connections_max = self.max_connections;
        config.connections_per_ip_max = self.max_connections_per_ip;
        config.managers_max = self.max_managers;
        config.message_bytes_max = self.message_max;
        config.stores = StoreLimits {
            user_keys_max: self.max_keys.get(),
            user_bytes_max: self.max_user_bytes,
            total_bytes_max: self.max_total_bytes,
        };
        config.unsent_bytes_max = self.max_unsent;
        config.timeouts = Timeouts {
            login: self.login_timeout.0,
            idle: self.idle_timeout.0,
            unsent: self.unsent_timeout.0,
            ping: self.ping_interval.0,
        };
    }
}
