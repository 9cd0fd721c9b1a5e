//! `[origin]` and `[[route]]`.

use super::{AUTO, OFF, Text, file, list, quoted, size, time, version};
use crate::config::settings::{
    Command, Manners, Origin, OriginDeadlines, OriginLimits, OriginVersion, Probe, Process, Route,
    Socket, Total,
};

impl Text {
    pub(super) fn origin(&mut self, origin: &Origin) {
        let Origin {
            address,
            concurrency,
            streams,
            queue,
            keep_alive,
            manners,
            process,
            deadlines,
            probe,
            limits,
        } = origin;
        self.section("[origin]");
        // Named, it would be one that somebody else starts.
        let is_named = *process != Process::Bundled;
        self.maybe("address", is_named.then(|| quoted(address)));
        self.or("concurrency", *concurrency, AUTO);
        // The profile is told by what it sets.
        let Manners {
            source,
            version,
            title_case,
            rewrite_location,
            secure_cookies,
        } = manners;
        self.or("source_address", source.map(quoted), OFF);
        self.put(
            "http_version",
            match version {
                OriginVersion::V1_0 => "\"1.0\"",
                OriginVersion::V1_1 => "\"1.1\"",
            },
        );
        self.put("title_case_headers", title_case);
        self.put("rewrite_location", rewrite_location);
        self.put("secure_cookies", secure_cookies);
        self.or("streams", *streams, AUTO);
        self.put("queue", queue);
        self.or("keep_alive", keep_alive.map(time), OFF);
        self.process(process);
        self.origin_deadlines(deadlines);
        self.probe(probe);
        let OriginLimits {
            memory,
            descriptors,
            close_wait,
        } = limits;
        self.section("[origin.limits]");
        self.or("memory", memory.map(size), OFF);
        self.or("descriptors", *descriptors, OFF);
        self.or("close_wait", *close_wait, OFF);
    }

    fn process(&mut self, process: &Process) {
        let Process::Command(command) = process else {
            return;
        };
        let Command {
            program,
            arguments,
            directory,
            environment,
            socket,
        } = command;
        self.section("[origin.process]");
        self.put(
            "command",
            list(std::iter::once(program).chain(arguments.iter())),
        );
        self.maybe("directory", directory.as_deref().map(file));
        let pairs = environment.iter();
        let pairs: Vec<_> = pairs
            .map(|(name, value)| format!("{} = {}", quoted(name), quoted(value)))
            .collect();
        self.put("environment", format!("{{ {} }}", pairs.join(", ")));
        self.put(
            "socket",
            match socket {
                Socket::Own => "\"own\"",
                Socket::Passed => "\"passed\"",
                Socket::Stdin => "\"stdin\"",
            },
        );
    }

    fn origin_deadlines(&mut self, deadlines: &OriginDeadlines) {
        let OriginDeadlines {
            queue,
            connect,
            first_byte,
            idle,
            total,
        } = deadlines;
        self.section("[origin.deadlines]");
        self.put("queue", time(*queue));
        self.put("connect", time(*connect));
        self.put("first_byte", time(*first_byte));
        self.put("idle", time(*idle));
        self.put("total", time(*total));
    }

    fn probe(&mut self, probe: &Probe) {
        let Probe {
            path,
            host,
            http2,
            every,
            suspect_every,
            timeout,
        } = probe;
        self.section("[origin.probe]");
        self.put("path", quoted(path));
        self.maybe("host", host.as_ref().map(quoted));
        self.put("http_version", version(*http2));
        self.put("every", time(*every));
        self.put("suspect_every", time(*suspect_every));
        self.put("timeout", time(*timeout));
    }

    pub(super) fn route(&mut self, route: &Route) {
        let Route {
            path,
            body,
            first_byte,
            idle,
            total,
            stream,
            http2,
            upgrade,
        } = route;
        self.section("[[route]]");
        self.put("path", quoted(path));
        self.maybe("body", body.map(size));
        self.maybe("first_byte", first_byte.map(time));
        self.maybe("idle", idle.map(time));
        match total {
            Total::Usual => {}
            Total::Off => self.put("total", OFF),
            Total::Within(total) => self.put("total", time(*total)),
        }
        self.put("stream", stream);
        self.put("http_version", version(*http2));
        self.put("upgrade", upgrade);
    }
}
