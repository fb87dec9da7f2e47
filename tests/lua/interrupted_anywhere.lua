-- What test_interrupt.lua has interrupted: poll(), each time one instruction later, until it comes to its end
-- first. Tells what the next polls raise.
local coromega = require("coromega_ws")
local armed, woken, raised, trials = false, 0, 0, 0

local function once()
  local resumes = {}
  for n = 1, 3 do
    coromega:start_new(function()
      resumes[n] = coromega:get_resume()
      coromega:pause()
      woken = woken + 1
    end)
  end
  coromega:start_new(function()
    coromega:sleep(0)
    for n = 1, 3 do resumes[n]() end
  end)
end

repeat
  trials = trials + 1
  once()
  local is_over
  local ok, err = pcall(function()
    armed = true
    -- Coroutines that begin meanwhile inherit it.
    debug.sethook(function()
      if not armed then return end
      armed = false
      error("interrupted!", 0)
    end, "", trials)
    coromega:poll()
    is_over = armed
    armed = false
  end)
  debug.sethook()
  if not ok and err ~= "interrupted!" then print("FIRST", trials, err) end
  for _ = 1, 3 do
    ok, err = pcall(coromega.poll, coromega)
    if not ok then
      raised = raised + 1
      print("RAISED", trials, err)
    end
  end
until is_over or raised > 10 or trials == 2000
print("TRIALS", trials)
woken = 0
once()
coromega:poll()
print("WOKEN", woken)
print("DONE")
io.stdout:flush()
