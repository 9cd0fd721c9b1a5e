//! `[edge]` and `[spool]`.

use super::{AUTO, OFF, Text, file, list, pace, size, time};
use crate::config::settings::{
    Clients, Edge, EdgeDeadlines, EdgeLimits, Identity, Pair, Spool, Tls, TlsVersion, UnknownName,
};

impl Text {
    pub(super) fn edge(&mut self, edge: &Edge) {
        let Edge {
            listen,
            redirect,
            proxy_protocol,
            half_close,
            threads,
            tls,
            deadlines,
            limits,
        } = edge;
        self.section("[edge]");
        self.put("listen", list(listen.iter()));
        let some = |texts: String, is_empty: bool| (!is_empty).then_some(texts);
        self.or(
            "redirect",
            some(list(redirect.iter()), redirect.is_empty()),
            OFF,
        );
        let nets = some(list(proxy_protocol.iter()), proxy_protocol.is_empty());
        self.or("proxy_protocol", nets, OFF);
        self.put("half_close", half_close);
        self.or("threads", *threads, AUTO);
        self.tls(tls);
        self.edge_deadlines(deadlines);
        self.edge_limits(limits);
    }

    fn tls(&mut self, tls: &Tls) {
        let Tls {
            identity,
            others,
            unknown_name,
            reread_every,
            oldest,
            clients,
        } = tls;
        self.section("[edge.tls]");
        if let Identity::Files(pair) = identity {
            self.pair(pair);
        }
        self.put(
            "unknown_name",
            match unknown_name {
                UnknownName::Default => "\"default\"",
                UnknownName::Refuse => "\"refuse\"",
            },
        );
        self.or("reread_every", reread_every.map(time), OFF);
        self.put(
            "min_version",
            match oldest {
                TlsVersion::V1_2 => "\"1.2\"",
                TlsVersion::V1_3 => "\"1.3\"",
            },
        );
        if let Some(Clients { ca, crl, required }) = clients {
            self.section("[edge.tls.clients]");
            self.put("ca", file(ca));
            self.put("crl", list(crl.iter().map(|it| it.display())));
            self.put("required", required);
        }
        for other in others {
            self.section("[[edge.tls.certificates]]");
            self.pair(other);
        }
    }

    fn pair(&mut self, pair: &Pair) {
        let Pair { certificate, key } = pair;
        self.put("certificate", file(certificate));
        self.put("key", file(key));
    }

    fn edge_deadlines(&mut self, deadlines: &EdgeDeadlines) {
        let EdgeDeadlines {
            handshake,
            head,
            body_stall,
            body_pace,
            body_total,
            response_stall,
            response_pace,
            keep_alive,
            half_close,
            age,
            drain,
        } = deadlines;
        self.section("[edge.deadlines]");
        self.put("handshake", time(*handshake));
        self.put("head", time(*head));
        self.put("body_stall", time(*body_stall));
        self.or("body_pace", body_pace.map(pace), OFF);
        self.or("body_total", body_total.map(time), OFF);
        self.put("response_stall", time(*response_stall));
        self.or("response_pace", response_pace.map(pace), OFF);
        self.put("keep_alive", time(*keep_alive));
        self.put("half_close", time(*half_close));
        self.or("age", age.map(time), OFF);
        self.put("drain", time(*drain));
    }

    fn edge_limits(&mut self, limits: &EdgeLimits) {
        let EdgeLimits {
            connections,
            connections_per_address,
            handshakes,
            memory,
            headers,
            head,
            uri,
            body,
            streams,
            resets,
            control_frames,
        } = limits;
        self.section("[edge.limits]");
        self.put("connections", connections);
        self.or("connections_per_address", *connections_per_address, OFF);
        self.or("handshakes", *handshakes, OFF);
        self.or("memory", memory.map(|it| size(it as u64)), OFF);
        self.put("headers", headers);
        self.put("head", size(*head as u64));
        self.put("uri", size(*uri as u64));
        self.put("body", size(*body));
        self.put("streams", streams);
        self.put("resets", resets);
        self.put("control_frames", control_frames);
    }

    pub(super) fn spool(&mut self, spool: &Spool) {
        let Spool {
            exchange,
            memory,
            directory,
            file: of_one,
            disk,
            floor,
        } = spool;
        self.section("[spool]");
        self.put("exchange", size(*exchange as u64));
        self.put("memory", size(*memory as u64));
        self.maybe("directory", directory.as_deref().map(file));
        self.put("file", size(*of_one));
        self.or("disk", (*disk > 0).then(|| size(*disk)), OFF);
        self.put("floor", size(*floor));
    }
}
