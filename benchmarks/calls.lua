-- A new call in every request: 70 of 100 from 5,000 known numbers, 25 from new ones, 5 without a number.
-- wrk -s calls.lua URL -- RUN [BODY]: RUN keeps the calls of one run apart from another's; a BODY is sent as it is.
-- With a BODY an answer is only asked to be a 2xx, else also to say that the call is on disk and was not degraded.

local run, body, sent = "", nil, 0
local threads = {}
wrong = 0

function setup(thread)
   table.insert(threads, thread)
end

function init(args)
   run, body = args[1], args[2]
   math.randomseed(tonumber(run))
   wrk.method = "POST"
   wrk.headers["Content-Type"] = "application/json"
end

local function caller()
   local draw = math.random()
   if draw < 0.70 then return string.format('"+62812%08d"', math.random(0, 4999)) end
   if draw < 0.95 then return string.format('"+6285%03d%06d"', tonumber(run) % 1000, sent) end
   return "null"
end

function request()
   if body then return wrk.format(nil, nil, nil, body) end
   sent = sent + 1
   return wrk.format(nil, nil, nil, string.format(
      '{"call_id":"%s-%d","received_at":"%s.%06d+00:00","caller":%s,"line":"mobile","centre":"north","queue":"112",'
         .. '"duration_s":%.1f,"silence_ratio":%.2f}',
      run, sent, os.date("!%Y-%m-%dT%H:%M:%S"), sent % 1000000, caller(), math.random() * 20, math.random()))
end

function response(status, headers, answer)
   local kept = body or (answer:find('"durable": ?true') and answer:find('"degraded": ?false'))
   if status ~= 200 or not kept then wrong = wrong + 1 end
end

function done(summary, latency)
   local all = summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.timeout
   for _, thread in ipairs(threads) do all = all + thread:get("wrong") end
   io.write(string.format('\n{"seconds":%f,"answers":%d,"wrong":%d,"latencies_us":[%d,%d,%d,%d,%d]}\n',
      summary.duration / 1e6, summary.requests, all, latency:percentile(50), latency:percentile(90),
      latency:percentile(99), latency:percentile(99.9), latency.max))
end
