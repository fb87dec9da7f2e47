-- lua-http as echo server and client: `http.server` with a handler that takes the WebSocket from its
-- stream and loops over its messages, one coroutine for each connection, all in one cqueues loop. That
-- is the only form that its manual shows. It has no compression, and version 0.4 breaks a connection
-- when a message from 126 bytes to 64 KiB is not there as a whole the moment its header is.
local cqueues = require("cqueues")
local http_server = require("http.server")
local websocket = require("http.websocket")

local function fail(...)
  io.stderr:write("lua_http.lua: ", ...)
  io.stderr:write("\n")
  os.exit(1)
end

local given = {}
local place = 1
while arg[place] do
  local option = arg[place]:match("^%-%-(.+)$")
  if option == "tls" then
    given.tls = { certificate = arg[place + 1], key = arg[place + 2] }
    place = place + 2
  elseif option == "broadcast" then
    given.broadcast = true
  elseif option == "compress" then
    io.stderr:write("lua_http.lua: lua-http knows no compression of messages\n")
    os.exit(2)
  elseif option then
    given[option] = arg[place + 1]
    place = place + 1
  end
  place = place + 1
end

-- The server ----------------------------------------------------------------------------------

local function echo(ws)
  for data, kind in ws:each() do
    if not ws:send(data, kind) then return end
  end
end

local clients = {}

local function broadcast(ws)
  clients[ws] = true
  for data, kind in ws:each() do
    -- A send may wait, and clients come and go meanwhile.
    local receivers = {}
    for client in pairs(clients) do receivers[#receivers + 1] = client end
    for _, client in ipairs(receivers) do client:send(data, kind) end
  end
  clients[ws] = nil
end

local function tls_context(files)
  local pkey, x509 = require("openssl.pkey"), require("openssl.x509")
  local function read(name)
    local file = assert(io.open(name))
    local text = file:read("*a")
    file:close()
    return text
  end
  local context = require("http.tls").new_server_context()
  context:setCertificate(x509.new(read(files.certificate)))
  context:setPrivateKey(pkey.new(read(files.key)))
  return context
end

local function serve()
  local handle = given.broadcast and broadcast or echo
  local server = assert(http_server.listen({
    host = "127.0.0.1",
    port = 0,
    tls = given.tls ~= nil,
    ctx = given.tls and tls_context(given.tls) or nil,
    version = 1.1,
    onstream = function(_, stream)
      local ws = websocket.new_from_stream(stream, assert(stream:get_headers()))
      if not ws or not ws:accept() then return end
      handle(ws)
      ws:close()
    end,
    onerror = function(_, context, op, err)
      io.stderr:write(("lua_http.lua: %s on %s: %s\n"):format(op, tostring(context), tostring(err)))
    end,
  }))
  assert(server:listen())
  local _, _, port = server:localname()
  print("LISTENING " .. port)
  io.stdout:flush()
  assert(server:loop())
end

-- The client ----------------------------------------------------------------------------------

local function measure(url, size, connections, depth, seconds, warmup)
  local payload = ("x"):rep(size)
  local received = 0
  local loop = cqueues.new()

  local function converse(ws)
    for _ = 1, depth do
      if not ws:send(payload, "binary") then fail("a message was not sent") end
    end
    for data in ws:each() do
      if #data ~= size then fail("a message of the wrong size came back") end
      received = received + 1
      if not ws:send(payload, "binary") then fail("a message was not sent") end
    end
    fail("a connection broke")
  end

  loop:wrap(function()
    local all = {}
    for number = 1, connections do
      all[number] = websocket.new_from_uri(url)
      local ok, err = all[number]:connect()
      if not ok then fail(err) end
    end
    for _, ws in ipairs(all) do
      loop:wrap(function() converse(ws) end)
    end
    cqueues.sleep(warmup)
    local messages, cpu, start = received, os.clock(), cqueues.monotime()
    cqueues.sleep(seconds)
    cpu, messages, seconds = os.clock() - cpu, received - messages, cqueues.monotime() - start
    print(('{"messages": %d, "cpu_us": %.0f, "seconds": %.6f}')
      :format(messages, cpu * 1e6, seconds))
    io.stdout:flush()
    os.exit(0)
  end)
  local ok, err = loop:loop()
  if not ok then fail(tostring(err)) end
end

if given.client then
  measure(given.client, tonumber(given.size), tonumber(given.connections), tonumber(given.depth),
    tonumber(given.seconds), tonumber(given.warmup))
else
  serve()
end
