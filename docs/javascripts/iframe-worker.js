// The search runs in a worker, which browsers do not start for a page that is opened from a folder: there, a hidden frame
// stands in for it.
if (location.protocol === "file:") {
  window.Worker = class extends EventTarget {
    constructor(url) {
      super()
      this.frame = document.createElement("iframe")
      this.frame.hidden = true
      this.frame.answer = data => this.dispatchEvent(new MessageEvent("message", { data }))
      this.frame.srcdoc =
        `<script>postMessage = data => frameElement.answer(data)</script><script src="${url}"></script>`
      this.loaded = new Promise(resolve => this.frame.addEventListener("load", resolve))
      document.body.append(this.frame)
    }

    async postMessage(data) {
      await this.loaded
      this.frame.contentWindow.dispatchEvent(new MessageEvent("message", { data }))
    }

    terminate() {
      this.frame.remove()
    }
  }
}
