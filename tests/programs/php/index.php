<?php
// Answers as its path asks for.
switch (parse_url($_SERVER['REQUEST_URI'], PHP_URL_PATH)) {
    case '/missing':
        http_response_code(404);
        echo 'no';
        break;
    case '/broken':
        error_log('for people');
        http_response_code(503);
        break;
    case '/large':
        echo str_repeat('x', 200000);
        break;
    default:
        header('Content-Type: text/plain');
        echo strlen(file_get_contents('php://input')), ' ', $_SERVER['HTTP_TRACEPARENT'] ?? '', "\n";
}
