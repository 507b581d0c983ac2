/// What a call answers, on a line.
fn fractal_answer<T: std::fmt::Debug>(call: impl FnOnce() -> T + Send + 'static) {
    let (told, heard) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let said = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| format!("= {:?}", call())));
        let _ = told.send(said.unwrap_or_else(|_| "! panic".to_string()));
    });
    let said = heard.recv_timeout(std::time::Duration::from_millis(100)).unwrap_or_else(|_| "late".to_string());
    println!("{}", said.chars().take(1000).collect::<String>());
}
