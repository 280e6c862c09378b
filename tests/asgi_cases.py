"""The end-to-end tests that also run behind an ASGI server, and the differences there: docs/asgi.md describes them for programs.

With ASGI=uvicorn (h11, granian, hypercorn) in the environment all tests run there, and the tests named here may fail.
"""

FILES = ("test_http.py", "test_http_files.py", "test_http_streams.py", "test_hooks.py", "test_events.py", "test_websocket_server.py",
         "test_session.py", "test_auth.py", "test_cors.py", "test_security.py", "test_mount.py")

# (reason, prefixes of test names)
DIFFERENCES = (
    ("the server in front reads the message, and refuses what is none", (
        "test_bad_messages", "test_good_messages", "test_smuggling", "test_methods", "test_absolute_form",
        "test_error_reaches_a_client_that_still_sends", "test_expect_in_http10", "test_even_the_answer_to_what_is_no_request")),
    ("the server in front frames the answer: Connection, Transfer-Encoding, reason phrases, lower-case names", (
        "test_http10_keep_alive", "test_http10_has_no_chunks", "test_head_is_get_without_content", "test_helpers[{asgi}-teapot",
        "test_a_long_raw_answer_of_a_plain_handler", "test_head_of_a_raw_answer", "test_default_headers",
        "test_a_file_that_shrinks_cuts_the_connection", "test_every_client_gets_what_another_thread_sends",
        "test_an_answer_that_is_refused_leaves_what_was_set")),
    ("a client that closes its half has gone", ("test_half_closed_client_is_answered", "test_a_half_closed_client_gets_the_whole_stream")),
    ("a plain handler holds the loop: nothing is sent or heard of until it returns", (
        "test_raw_writes", "test_a_failure_behind_the_head_cuts_the_connection[{asgi}-raw", "test_a_stream_may_find_out",
        "test_a_handler_that_works_long_sees_that_the_client_goes[{asgi}-reset-/works",
        "test_a_handler_that_works_long_sees_that_the_client_goes[{asgi}-close-/works")),
    ("that the client has gone is heard of later", ("test_an_answer_for_nobody",)),
    ("a path without a route is 405 before its content is too long", ("test_every_answer_has_them[{asgi}-POST-/-body4-413",)),
    ("the authority of a target is the server's own business", ("test_digest[",)),
    ("frames, pings, and the end of the connection are those of the server in front", (
        "test_frames_in_the_segment_of_the_handshake", "test_violations", "test_dead_clients_are_found", "test_closing",
        "test_a_flood_holds_nobody[{asgi}-pings", "test_a_flood_holds_nobody[{asgi}-pongs", "test_async_callbacks[",
        "test_handshake", "test_origins", "test_routes[")),
    ("the test looks into our own frames or link", ("test_a_stuck_client", "test_a_thread_waits_for_its_client")),
    ("the test leaves out a file that this needs, or brings TLS", (
        "test_without_asyncio", "test_without_the_file_it_is_501", "test_the_file_alone", "test_tls")),
    ("granian answers HTTP/1.0 as HTTP/1.0, gives a short stream a length, has no reason for 599, and takes a request without a Host", (
        "test_http10[asgi-granian", "test_old_versions_of_http[asgi-granian", "test_streams[asgi-granian",
        "test_helpers[asgi-granian-unknown-599", "test_bad_requests_and_the_callbacks[asgi-granian")),
    ("granian sends neither extensions nor headers of the application with a 101, and no Close frame when it stops", (
        "test_compressed_echo[asgi-granian", "test_websockets[asgi-granian", "test_stop[asgi-granian",
        "test_stop_with_a_client_that_does_not_answer[asgi-granian")),
    ("a message is on its way to granian for a turn of the loop, and counts as one that waits", (
        "test_the_engine_waits_for_a_lock_of_a_thread_that_sends[asgi-granian",)),
)


def Difference(name, runtime):
    """The reason why this test does not hold behind the ASGI server of this runtime; None: it holds."""
    for reason, beginnings in DIFFERENCES:
        for beginning in beginnings:
            if name.startswith(beginning.replace("{asgi}", runtime)):
                return reason
    return None
