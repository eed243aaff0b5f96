-- Requests for wrk, built in Python and only walked through here: wrk -s requests.lua URL -- FOLDER START FORMAT COUNT
--
-- FOLDER/requests: complete requests with a NUL between them. In them \2 may stand for a code and, behind it, \1 for a
-- client address, which are different in every request; FOLDER/order: which request is sent, in turn.
-- The n-th code is FORMAT of n * 7919 modulo COUNT: each of COUNT comes once before one comes again. Lua's numbers are
-- doubles, so everything here stays far below 2^53.

local requests, order = {}, {}
local at, number = 0, 0
local format, count
local networks, hosts = {}, {}

local function read(path)
    local file = assert(io.open(path, "rb"))
    local content = file:read("*a")
    file:close()
    return content
end

-- Another /24 every time, for 13 million requests.
local function prepare_addresses()
    for n = 0, 200 * 256 - 1 do
        networks[n] = string.format("%d.%d.", 20 + n % 200, math.floor(n / 200))
    end
    for n = 0, 255 do
        hosts[n] = n .. ".7"
    end
end

local function address()
    return networks[number % 51200] .. hosts[math.floor(number / 51200) % 256]
end

local function code()
    return string.format(format, number * 7919 % count)
end

local function fixed_request()
    at = at % #order + 1
    return requests[order[at]]
end

local function request_with_code_and_address()
    at, number = at % #order + 1, number + 1
    local parts = requests[order[at]]
    return parts[1] .. code() .. parts[2] .. address() .. parts[3]
end

local function request_with(value)
    return function()
        at, number = at % #order + 1, number + 1
        local parts = requests[order[at]]
        return parts[1] .. value() .. parts[2]
    end
end

local function split_requests()
    for index, text in ipairs(requests) do
        local parts = {}
        for part in string.gmatch(text, "[^\1\2]+") do
            parts[#parts + 1] = part
        end
        requests[index] = parts
    end
end

function init(args)
    for text in string.gmatch(read(args[1] .. "/requests"), "[^%z]+") do
        requests[#requests + 1] = text
    end
    for index in string.gmatch(read(args[1] .. "/order"), "%d+") do
        order[#order + 1] = tonumber(index)
    end
    number, format, count = tonumber(args[2]), args[3], tonumber(args[4])
    local has_address, has_code = string.find(requests[1], "\1"), string.find(requests[1], "\2")
    if not (has_address or has_code) then
        request = fixed_request
        return
    end
    prepare_addresses()
    split_requests()
    if has_address and has_code then
        request = request_with_code_and_address
    else
        request = request_with(has_address and address or code)
    end
end

function done(summary, latency, _)
    local errors = summary.errors
    io.write(string.format(
        '{"requests": %d, "seconds": %.6f, "status": %d, "connect": %d, "read": %d, "write": %d, "timeout": %d}\n',
        summary.requests, summary.duration / 1e6,
        errors.status, errors.connect, errors.read, errors.write, errors.timeout
    ))
end
