// Answers come over one stream, which the server ends when nothing is left to answer. A question
// that is asked while the page has not yet read that end gets no new stream from Gradio's client
// (6.31): its answer waits on the server, and its listener sends nothing more. So whenever no stream
// is open while an answer is missing, an empty question is asked, for which the client opens one.
(() => {
  const PAUSE_MS = 1000, TRIES = 3;
  const missing = new Map(), early = new Set(); // event ids: tries; answered before they were known
  let open = 0, timer = 0;

  const check = () => {
    clearTimeout(timer);
    timer = setTimeout(() => {
      if (open || !missing.size) return;
      for (const [id, tries] of missing) {
        if (tries < TRIES) missing.set(id, tries + 1);
        else missing.delete(id); // cancelled, or the server forgot it
      }
      document.querySelector('#dm-nudge')?.click();
    }, PAUSE_MS);
  };

  const heard = (line) => {
    let message;
    try {
      message = JSON.parse(line.replace(/^data: */, ''));
    } catch {
      return;
    }
    if (message.msg === 'process_completed' && !missing.delete(message.event_id)) {
      early.add(message.event_id);
    }
  };

  // reads along, each part before the client has it: the client may end the stream at any message
  const listen = (body) => {
    const reader = body.getReader(), decoder = new TextDecoder();
    let rest = '', ended = false;
    open += 1;
    const end = () => {
      if (ended) return;
      ended = true;
      open -= 1;
      check();
    };
    return new ReadableStream({
      async pull(theirs) {
        try {
          const { done, value } = await reader.read();
          if (done) {
            end();
            theirs.close();
            return;
          }
          const lines = (rest + decoder.decode(value, { stream: true })).split('\n');
          rest = lines.pop();
          lines.forEach(heard);
          theirs.enqueue(value);
        } catch (error) {
          end();
          theirs.error(error);
        }
      },
      cancel(reason) {
        end();
        return reader.cancel(reason);
      },
    });
  };

  const plain = window.fetch;
  window.fetch = async (...asked) => {
    const answer = await plain(...asked);
    if (!answer.ok) return answer;
    if (answer.url.includes('/queue/join')) {
      answer.clone().json().then(({ event_id: id }) => {
        if (!early.delete(id)) missing.set(id, 0);
        if (!open) check();
      }).catch(() => {});
    } else if (answer.url.includes('/queue/data') && answer.body) {
      const { status, headers } = answer;
      return new Response(listen(answer.body), { status, headers });
    }
    return answer;
  };
})();
