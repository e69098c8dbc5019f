-- SPDX-License-Identifier: Apache-2.0
-- What wrk sends: load.lua MODE BASE KEYS SEED VALUES HEADER. MODE: get (a random key of the first 1000), new (keys
-- that were never there), over (a random key of KEYS). BASE: the path in front of the key. VALUES: a file, one
-- value a line. HEADER: a line for each request with its end, or nothing. Ends with one line "RESULT requests seconds errors p50 p99 max" (latencies in microseconds).
local mode, base, keys, values, count, header

function init(args)
   mode, base, keys, header = args[1], args[2], tonumber(args[3]), args[6] or ""
   math.randomseed(tonumber(args[4]))
   count = tonumber(args[4]) * 100000000
   values = {}
   for line in io.lines(args[5]) do values[#values + 1] = line end
end

function request()
   if mode == "get" then
      return "GET " .. base .. math.random(0, 999) .. " HTTP/1.1\r\nHost: bench\r\n" .. header .. "\r\n"
   end
   local key
   if mode == "new" then
      count = count + 1
      key = string.format("n%d", count)
   else
      key = math.random(0, keys - 1)
   end
   local value = values[math.random(#values)]
   return "PUT " .. base .. key .. " HTTP/1.1\r\nHost: bench\r\n" .. header .. "Content-Length: " .. #value .. "\r\n\r\n" .. value
end

function done(summary, latency)
   local errors = summary.errors
   local failed = errors.connect + errors.read + errors.write + errors.status + errors.timeout
   io.write(string.format("RESULT %d %.6f %d %.0f %.0f %.0f\n", summary.requests, summary.duration / 1e6, failed,
      latency:percentile(50), latency:percentile(99), latency.max))
end
