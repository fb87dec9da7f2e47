// An echo server and a client with Boost.Beast, in the form of its "fast" WebSocket server example:
// asynchronous reads and writes on tcp_stream, messages not split into frames. One io_context on one
// thread, so no strands; over TLS Beast's own ssl_stream, as its documentation recommends.
//
//     PROGRAM [--tls CERT KEY] [--compress] [--broadcast]
//     PROGRAM --client URL --size N --connections C --depth D --seconds S --warmup W
#include <boost/asio.hpp>
#include <boost/beast.hpp>
#include <boost/beast/ssl.hpp>
#include <boost/beast/websocket/ssl.hpp>

#include <chrono>
#include <cstdlib>
#include <ctime>
#include <deque>
#include <iostream>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <type_traits>
#include <unordered_set>

namespace net = boost::asio;
namespace beast = boost::beast;
namespace websocket = beast::websocket;
using tcp = net::ip::tcp;
using Plain = beast::tcp_stream;
using Tls = beast::ssl_stream<beast::tcp_stream>;

constexpr std::size_t LARGEST_MESSAGE = 64 * 1024 * 1024;
// What is masked or compressed goes through it: a larger one makes fewer writes.
constexpr std::size_t WRITE_BUFFER = 64 * 1024;

[[noreturn]] void refuse(std::string const& why)
{
    std::cerr << "beast: " << why << '\n';
    std::exit(2);
}

struct Options {
    std::optional<net::ssl::context> tls;
    bool compress = false;
    bool broadcast = false;
};

struct Message {
    bool text;
    beast::flat_buffer bytes;
};

template <class Next>
class Session : public std::enable_shared_from_this<Session<Next>> {
public:
    template <class... Arguments>
    Session(Options const& options, Arguments&&... arguments)
        : options(options), socket(std::forward<Arguments>(arguments)...)
    {
        websocket::permessage_deflate deflate;
        deflate.server_enable = options.compress;
        socket.set_option(deflate);
        socket.auto_fragment(false);
        socket.write_buffer_bytes(WRITE_BUFFER);
        socket.read_message_max(LARGEST_MESSAGE);
        socket.set_option(websocket::stream_base::timeout::suggested(beast::role_type::server));
    }

    ~Session() { room.erase(this); }

    void start()
    {
        if constexpr (std::is_same_v<Next, Tls>)
            socket.next_layer().async_handshake(
                net::ssl::stream_base::server,
                [self = this->shared_from_this()](beast::error_code error) {
                    if (!error)
                        self->accept();
                });
        else
            accept();
    }

private:
    void accept()
    {
        socket.async_accept([self = this->shared_from_this()](beast::error_code error) {
            if (error)
                return;
            if (!self->options.broadcast)
                return self->read();
            room.insert(self.get());
            self->read_for_all();
        });
    }

    void read()
    {
        socket.async_read(buffer, [self = this->shared_from_this()](beast::error_code error, std::size_t) {
            if (!error)
                self->write();
        });
    }

    void write()
    {
        socket.text(socket.got_text());
        socket.async_write(
            buffer.data(), [self = this->shared_from_this()](beast::error_code error, std::size_t) {
                if (error)
                    return;
                self->buffer.consume(self->buffer.size());
                self->read();
            });
    }

    void read_for_all()
    {
        socket.async_read(buffer, [self = this->shared_from_this()](beast::error_code error, std::size_t) {
            if (error) {
                room.erase(self.get());
                return;
            }
            auto message = std::make_shared<Message>();
            message->text = self->socket.got_text();
            std::swap(message->bytes, self->buffer);
            for (auto* session : room)
                session->send(message);
            self->read_for_all();
        });
    }

    void send(std::shared_ptr<Message> const& message)
    {
        queue.push_back(message);
        if (queue.size() == 1)
            write_queued();
    }

    // One write at a time is the rule.
    void write_queued()
    {
        auto& message = *queue.front();
        socket.text(message.text);
        socket.async_write(
            message.bytes.cdata(),
            [self = this->shared_from_this()](beast::error_code error, std::size_t) {
                if (error)
                    return;
                self->queue.pop_front();
                if (!self->queue.empty())
                    self->write_queued();
            });
    }

    inline static std::unordered_set<Session*> room;

    Options const& options;
    websocket::stream<Next> socket;
    beast::flat_buffer buffer;
    std::deque<std::shared_ptr<Message>> queue;
};

void accept(tcp::acceptor& acceptor, Options& options)
{
    acceptor.async_accept([&](beast::error_code error, tcp::socket socket) {
        if (!error) {
            if (options.tls)
                std::make_shared<Session<Tls>>(options, std::move(socket), *options.tls)->start();
            else
                std::make_shared<Session<Plain>>(options, std::move(socket))->start();
        }
        accept(acceptor, options);
    });
}

int server(int argc, char** argv)
{
    Options options;
    for (int i = 1; i < argc; i++) {
        std::string argument = argv[i];
        if (argument == "--compress") {
            options.compress = true;
        } else if (argument == "--broadcast") {
            options.broadcast = true;
        } else if (argument == "--tls" && i + 2 < argc) {
            options.tls.emplace(net::ssl::context::tls_server);
            options.tls->use_certificate_chain_file(argv[++i]);
            options.tls->use_private_key_file(argv[++i], net::ssl::context::pem);
        } else {
            refuse("unknown option, or a value missing: " + argument);
        }
    }
    net::io_context io{1};
    tcp::acceptor acceptor{io, {net::ip::make_address("127.0.0.1"), 0}};
    std::cout << "LISTENING " << acceptor.local_endpoint().port() << std::endl;
    accept(acceptor, options);
    io.run();
    return 1;
}

double seconds_of(clockid_t clock)
{
    timespec time;
    clock_gettime(clock, &time);
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9;
}

class Load {
public:
    inline static unsigned long messages = 0;

    Load(net::io_context& io, tcp::endpoint const& to, std::string const& payload, unsigned depth)
        : socket(io), payload(payload), to_send(depth)
    {
        socket.next_layer().connect(to);
        socket.auto_fragment(false);
        socket.write_buffer_bytes(WRITE_BUFFER);
        socket.read_message_max(LARGEST_MESSAGE);
        socket.binary(true);
        socket.handshake("127.0.0.1", "/");
        write();
        read();
    }

private:
    void read()
    {
        socket.async_read(buffer, [this](beast::error_code error, std::size_t length) {
            check(error);
            if (length != payload.size())
                check(beast::error_code(beast::errc::message_size, beast::generic_category()));
            buffer.consume(length);
            messages++;
            // One write at a time: the one that is under way sends this one as well.
            if (to_send++ == 0)
                write();
            read();
        });
    }

    void write()
    {
        socket.async_write(net::buffer(payload), [this](beast::error_code error, std::size_t) {
            check(error);
            if (--to_send > 0)
                write();
        });
    }

    static void check(beast::error_code error)
    {
        if (!error)
            return;
        std::cerr << "beast: a connection broke: " << error.message() << '\n';
        std::exit(1);
    }

    websocket::stream<Plain> socket;
    beast::flat_buffer buffer;
    std::string const& payload;
    unsigned to_send;
};

std::chrono::microseconds seconds(std::string const& text)
{
    return std::chrono::microseconds(static_cast<long>(std::stod(text) * 1e6));
}

int client(int argc, char** argv)
{
    std::map<std::string, std::string> values;
    for (int i = 1; i + 1 < argc; i += 2)
        values[argv[i]] = argv[i + 1];
    for (auto name : {"--client", "--size", "--connections", "--depth", "--seconds", "--warmup"})
        if (values.count(name) == 0)
            refuse(std::string("missing: ") + name);
    if (values.size() != 6 || argc != 13)
        refuse("unknown option, or a value missing");

    auto url = values["--client"];
    auto colon = url.rfind(':');
    tcp::endpoint to{net::ip::make_address("127.0.0.1"),
                     static_cast<unsigned short>(std::stoi(url.substr(colon + 1)))};
    if (url.rfind("ws://127.0.0.1:", 0) != 0)
        refuse("not a ws:// URL of 127.0.0.1: " + url);

    net::io_context io{1};
    std::string payload(std::stoul(values["--size"]), 'x');
    std::deque<Load> loads;
    for (auto left = std::stoul(values["--connections"]); left > 0; left--)
        loads.emplace_back(io, to, payload, static_cast<unsigned>(std::stoul(values["--depth"])));

    net::steady_timer timer{io, seconds(values["--warmup"])};
    timer.async_wait([&](beast::error_code) {
        auto messages = Load::messages;
        auto cpu = seconds_of(CLOCK_PROCESS_CPUTIME_ID), wall = seconds_of(CLOCK_MONOTONIC);
        timer.expires_after(seconds(values["--seconds"]));
        timer.async_wait([=](beast::error_code) {
            std::printf("{\"messages\": %lu, \"cpu_us\": %.0f, \"seconds\": %.6f}\n",
                        Load::messages - messages,
                        (seconds_of(CLOCK_PROCESS_CPUTIME_ID) - cpu) * 1e6,
                        seconds_of(CLOCK_MONOTONIC) - wall);
            std::fflush(stdout);
            std::_Exit(0);
        });
    });
    io.run();
    return 1;
}

int main(int argc, char** argv)
try {
    return argc > 1 && std::string(argv[1]) == "--client" ? client(argc, argv) : server(argc, argv);
} catch (std::exception const& error) {
    std::cerr << "beast: " << error.what() << '\n';
    return 1;
}
