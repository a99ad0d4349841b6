# report.awk: the tables of the benchmark out of its flat JSON lines.
#
# Of several rounds of one measurement the median is shown, but of losses the sum and of the
# longest latency the longest: a bad round must not disappear behind two good ones.

function value(name) { return name in now ? now[name] : "" }

# Keeps one number of this run under a key.
function keep(name, number) { sample[key, name, count[key]] = number + 0 }

function median(k, name,    n, i, j, swap, list) {
	n = count[k]
	for (i = 1; i <= n; i++)
		list[i] = sample[k, name, i]
	for (i = 2; i <= n; i++)
		for (j = i; j > 1 && list[j - 1] > list[j]; j--) {
			swap = list[j]; list[j] = list[j - 1]; list[j - 1] = swap
		}
	return n % 2 ? list[(n + 1) / 2] : (list[n / 2] + list[n / 2 + 1]) / 2
}

function sum(k, name,    i, total) {
	for (i = 1; i <= count[k]; i++)
		total += sample[k, name, i]
	return total + 0
}

function most(k, name,    i, best) {
	for (i = 1; i <= count[k]; i++)
		if (sample[k, name, i] > best)
			best = sample[k, name, i]
	return best + 0
}

function ms(us) { return sprintf(us < 10000 ? "%.2f" : "%.0f", us / 1000) }

function latency(k, way) {
	return ms(median(k, way "_p50_us")) " / " ms(median(k, way "_p99_us")) " / " ms(most(k, way "_max_us"))
}

function wrong(way) {
	return value(way "_duplicate") + value(way "_reordered") + value(way "_corrupt") + \
		value(way "_foreign") + value(way "_stalled")
}

function target(what, wanted, measured, met) {
	printf "| %s | %s | %s | %s |\n", what, wanted, measured, met ? "met" : "**not met**"
}

{
	text = $0
	gsub(/[{}"]/, "", text)
	split("", now)
	n = split(text, pair, ",")
	for (i = 1; i <= n; i++) {
		colon = index(pair[i], ":")
		now[substr(pair[i], 1, colon - 1)] = substr(pair[i], colon + 1)
	}
	kind = FILENAME
	sub(/.*\//, "", kind)
	sub(/\..*/, "", kind)
	key = kind SUBSEP value("calls") SUBSEP value("who")
	if (!(key in count))
		order[++keys] = key
	count[key]++
	for (name in now)
		keep(name, now[name])
	keep("lost", value("to_engine_lost") + value("to_caller_lost"))
	keep("wrong", wrong("to_engine") + wrong("to_caller"))
	keep("calls_gone", value("failed_calls") + value("lost_calls"))
	keep("kib", (value("pss_after_kib") - value("pss_before_kib")) / (value("calls") ? value("calls") : 1))
	frames = value("to_engine_received") + value("to_caller_received")
	keep("us_per_frame", frames ? value("cpu_percent") * value("seconds") * 1e4 / frames : 0)
}

function loads(    i, k, part, bare, ratio) {
	print "| calls | who | CPU, % of a core | user + system | CPU a call, % | to the bare relay | caller to engine, ms: p50 / p99 / max | engine to caller, ms: p50 / p99 / max | frames lost | otherwise wrong | calls lost | memory a call, KiB |"
	print "|---:|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|"
	for (i = 1; i <= keys; i++) {
		k = order[i]
		split(k, part, SUBSEP)
		if (part[1] != "results")
			continue
		bare = part[1] SUBSEP part[2] SUBSEP "relay_epoll"
		ratio = bare in count && median(bare, "cpu_percent") > 0 ? \
			sprintf("%.2f", median(k, "cpu_percent") / median(bare, "cpu_percent")) : "-"
		printf "| %d | %s | %.1f | %.1f + %.1f | %.3f | %s | %s | %s | %d | %d | %d | %.0f |\n", part[2], part[3],
			median(k, "cpu_percent"), median(k, "user_percent"), median(k, "system_percent"),
			median(k, "cpu_percent") / part[2], ratio, latency(k, "to_engine"), latency(k, "to_caller"),
			sum(k, "lost"), sum(k, "wrong"), sum(k, "calls_gone"), median(k, "kib")
	}
}

function generators(    i, k, part) {
	print "| calls | who | us a frame | sleeps a second | waits for its core, % | caller: CPU + waits, % | engine: CPU + waits, % | database, % of a core | caller late, ms: p99 / max | engine late, ms: p99 / max |"
	print "|---:|---|---:|---:|---:|---:|---:|---:|---:|---:|"
	for (i = 1; i <= keys; i++) {
		k = order[i]
		split(k, part, SUBSEP)
		if (part[1] != "results")
			continue
		printf "| %d | %s | %.1f | %.0f | %.1f | %.1f + %.1f | %.1f + %.1f | %.1f | %s / %s | %s / %s |\n", part[2], part[3],
			median(k, "us_per_frame"), median(k, "sleeps") / median(k, "seconds"),
			median(k, "wait_percent"), median(k, "caller_cpu_percent"), median(k, "caller_wait_percent"),
			median(k, "engine_cpu_percent"), median(k, "engine_wait_percent"), median(k, "database_cpu_percent"),
			ms(median(k, "to_engine_late_p99_us")), ms(most(k, "to_engine_late_max_us")),
			ms(median(k, "to_caller_late_p99_us")), ms(most(k, "to_caller_late_max_us"))
	}
}

function interruptions(    i, k, part) {
	print "| calls | who | calls lost | interruptions | answered by clear | interrupted to clear, ms: p50 / p99 / max |"
	print "|---:|---|---:|---:|---:|---:|"
	for (i = 1; i <= keys; i++) {
		k = order[i]
		split(k, part, SUBSEP)
		if (part[1] == "interrupt")
			printf "| %d | %s | %d | %d | %d | %s |\n", part[2], part[3], sum(k, "calls_gone"), sum(k, "interrupts"), sum(k, "clears"), latency(k, "clear")
	}
}

function worst(a, b) { return a > b ? a : b }

function targets(    i, k, part, gate, bare, calls, ratio, p50, p99, memory, answers, cost, waits) {
	print "| target | wanted | measured | |"
	print "|---|---|---|---|"
	for (i = 1; i <= keys; i++) {
		k = order[i]
		split(k, part, SUBSEP)
		if (part[1] != "results" || part[3] != "gateway")
			continue
		calls = part[2]
		gate = k
		bare = "results" SUBSEP calls SUBSEP "relay_epoll"
		waits = worst(waits, median(k, "wait_percent"))
		memory = worst(memory, median(k, "kib"))
		if (bare in count && median(bare, "cpu_percent") > 0) {
			ratio = median(k, "cpu_percent") / median(bare, "cpu_percent")
			target("CPU a call against the bare relay, " calls " calls", "<= 1.25 x", sprintf("%.2f x", ratio), ratio <= 1.25)
		}
		if (calls == 100) {
			p50 = worst(median(k, "to_engine_p50_us"), median(k, "to_caller_p50_us"))
			p99 = worst(median(k, "to_engine_p99_us"), median(k, "to_caller_p99_us"))
			target("latency added at 100 calls, p50", "<= 1 ms", ms(p50) " ms", p50 <= 1000)
			target("latency added at 100 calls, p99", "<= 5 ms", ms(p99) " ms", p99 <= 5000)
		}
		if (calls >= 400)
			target(calls " calls on one core, frames lost", "0", sum(k, "lost") " lost, " sum(k, "calls_gone") " calls lost",
				sum(k, "lost") + sum(k, "wrong") + sum(k, "calls_gone") == 0)
	}
	if (gate != "")
		target("memory a call", "<= 64 KiB", sprintf("%.0f KiB", memory), memory <= 64)
	if (waits > 10)
		printf "| was the machine idle? | yes | the gateway waited for its core %d %% of the time | **no: run it again** |\n", waits
	k = "interrupt" SUBSEP "100" SUBSEP "gateway"
	if (k in count)
		target("interrupted to clear, p99", "<= 5 ms", ms(median(k, "clear_p99_us")) " ms, " sum(k, "clears") " of " sum(k, "interrupts"),
			median(k, "clear_p99_us") <= 5000 && sum(k, "clears") == sum(k, "interrupts"))
	k = "webhook" SUBSEP SUBSEP "gateway"
	if (k in count) {
		answers = sum(k, "good") " of " sum(k, "requests")
		cost = sprintf("; CPU a request: gateway %.2f ms, database %.2f ms", median(k, "bridge_us_a_request") / 1000, median(k, "database_us_a_request") / 1000)
		target("answer webhook at 200/s, p99", "<= 15 ms", ms(median(k, "p99_us")) " ms, " answers " answered (p50 " ms(median(k, "p50_us")) ")" cost,
			median(k, "p99_us") <= 15000 && sum(k, "good") == sum(k, "requests"))
	}
}

END {
	loads(); print ""
	print "The generator, and where the time goes:"; print ""
	generators(); print ""
	interruptions()
	for (i = 1; i <= keys; i++)
		if (order[i] ~ /gateway$/)
			any = 1
	if (any) {
		print ""
		targets()
	}
}
