import io.netty.bootstrap.Bootstrap;
import io.netty.bootstrap.ServerBootstrap;
import io.netty.buffer.Unpooled;
import io.netty.channel.Channel;
import io.netty.channel.ChannelHandlerContext;
import io.netty.channel.ChannelInitializer;
import io.netty.channel.EventLoop;
import io.netty.channel.EventLoopGroup;
import io.netty.channel.SimpleChannelInboundHandler;
import io.netty.channel.nio.NioEventLoopGroup;
import io.netty.channel.socket.SocketChannel;
import io.netty.channel.socket.nio.NioServerSocketChannel;
import io.netty.channel.socket.nio.NioSocketChannel;
import io.netty.handler.codec.http.DefaultFullHttpRequest;
import io.netty.handler.codec.http.DefaultFullHttpResponse;
import io.netty.handler.codec.http.FullHttpRequest;
import io.netty.handler.codec.http.FullHttpResponse;
import io.netty.handler.codec.http.HttpClientCodec;
import io.netty.handler.codec.http.HttpHeaderNames;
import io.netty.handler.codec.http.HttpMethod;
import io.netty.handler.codec.http.HttpObjectAggregator;
import io.netty.handler.codec.http.HttpResponseStatus;
import io.netty.handler.codec.http.HttpServerCodec;
import io.netty.handler.codec.http.HttpVersion;
import io.netty.util.AttributeKey;
import java.nio.charset.StandardCharsets;
import java.util.ArrayDeque;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.TimeUnit;

/** Plain Netty: a request's call is made in the request's own loop, on a connection of that loop. */
final class NettyServer {
  private static final int LOOPS = 2;
  private static final int LARGEST = 65536;
  private static final int TIMER = 5;
  /** The request that waits for a connection's answer. */
  private static final AttributeKey<ChannelHandlerContext> REQUEST = AttributeKey.valueOf("request");

  /** Idle connections by loop; each is used by its loop alone. */
  private final Map<EventLoop, ArrayDeque<Channel>> idle = new ConcurrentHashMap<>();
  private final int backend;
  private final boolean timer;

  private NettyServer(int backend, boolean timer) {
    this.backend = backend;
    this.timer = timer;
  }

  static void serve(int port, int backend, boolean timer) throws InterruptedException {
    EventLoopGroup group = new NioEventLoopGroup(LOOPS);
    NettyServer server = new NettyServer(backend, timer);
    new ServerBootstrap()
        .group(group)
        .channel(NioServerSocketChannel.class)
        .childHandler(initializer(channel -> channel.pipeline().addLast(new HttpServerCodec(), new HttpObjectAggregator(LARGEST), server.new Asked())))
        .bind("127.0.0.1", port)
        .sync();
  }

  private interface Setup {
    void accept(SocketChannel channel);
  }

  private static ChannelInitializer<SocketChannel> initializer(Setup setup) {
    return new ChannelInitializer<>() {
      @Override
      protected void initChannel(SocketChannel channel) {
        setup.accept(channel);
      }
    };
  }

  /** A request was read. */
  private final class Asked extends SimpleChannelInboundHandler<FullHttpRequest> {
    @Override
    protected void channelRead0(ChannelHandlerContext request, FullHttpRequest message) {
      String path = "/b/" + message.uri().substring("/w/".length()) + "/1";
      if (timer) {
        request.executor().schedule(() -> call(request, path), TIMER, TimeUnit.MILLISECONDS);
      } else {
        call(request, path);
      }
    }
  }

  /** A call's answer was read. */
  private final class Answered extends SimpleChannelInboundHandler<FullHttpResponse> {
    @Override
    protected void channelRead0(ChannelHandlerContext call, FullHttpResponse answer) {
      ChannelHandlerContext request = call.channel().attr(REQUEST).get();
      idle.get(call.channel().eventLoop()).add(call.channel());
      byte[] ok = "ok".getBytes(StandardCharsets.US_ASCII);
      FullHttpResponse response = new DefaultFullHttpResponse(HttpVersion.HTTP_1_1, answer.status(), Unpooled.wrappedBuffer(ok));
      response.headers().set(HttpHeaderNames.CONTENT_LENGTH, ok.length);
      request.writeAndFlush(response);
    }
  }

  private void call(ChannelHandlerContext request, String path) {
    EventLoop loop = request.channel().eventLoop();
    Channel connection = idle.computeIfAbsent(loop, ignored -> new ArrayDeque<>()).poll();
    if (connection != null) {
      send(connection, request, path);
      return;
    }
    new Bootstrap()
        .group(loop)
        .channel(NioSocketChannel.class)
        .handler(initializer(channel -> channel.pipeline().addLast(new HttpClientCodec(), new HttpObjectAggregator(LARGEST), new Answered())))
        .connect("127.0.0.1", backend)
        .addListener(
            (io.netty.channel.ChannelFutureListener)
                connected -> {
                  if (connected.isSuccess()) {
                    send(connected.channel(), request, path);
                  } else {
                    request.writeAndFlush(new DefaultFullHttpResponse(HttpVersion.HTTP_1_1, HttpResponseStatus.BAD_GATEWAY));
                  }
                });
  }

  private static void send(Channel connection, ChannelHandlerContext request, String path) {
    connection.attr(REQUEST).set(request);
    DefaultFullHttpRequest call = new DefaultFullHttpRequest(HttpVersion.HTTP_1_1, HttpMethod.GET, path);
    call.headers().set(HttpHeaderNames.HOST, "backend");
    connection.writeAndFlush(call);
  }
}
